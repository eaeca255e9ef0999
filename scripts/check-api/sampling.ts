import assert from "node:assert/strict";

import { PATH, greedy, choicesOf, usageOf, textOf } from "./text-answers.ts";
import type { Members } from "./client.ts";
import { refuses, chatml, section } from "./checks.ts";

const { checks, check } = section("5-6 completions and sampling");
export const sampling = checks;

const RANGES: readonly (readonly [string, unknown, string])[] = [
  ["temperature", -0.1, "invalid_value"],
  ["temperature", 2.1, "invalid_value"],
  ["temperature", "1", "invalid_type"],
  ["top_p", 1.1, "invalid_value"],
  ["top_p", -0.1, "invalid_value"],
  ["top_p", [], "invalid_type"],
  ["top_k", -2, "invalid_value"],
  ["top_k", 1.5, "invalid_type"],
  ["min_p", 2, "invalid_value"],
  ["typical_p", -1, "invalid_value"],
  ["typical_p", "x", "invalid_type"],
  ["top_n_sigma", "x", "invalid_type"],
  ["xtc_probability", 1.5, "invalid_value"],
  ["xtc_threshold", -1, "invalid_value"],
  ["repeat_penalty", 0, "invalid_value"],
  ["repeat_penalty", -1, "invalid_value"],
  ["repeat_last_n", -2, "invalid_value"],
  ["presence_penalty", 2.5, "invalid_value"],
  ["frequency_penalty", -2.5, "invalid_value"],
  ["dry_multiplier", -1, "invalid_value"],
  ["dry_base", "x", "invalid_type"],
  ["dry_allowed_length", -1, "invalid_value"],
  ["dry_penalty_last_n", -2, "invalid_value"],
  ["dry_sequence_breakers", [], "invalid_value"],
  ["dry_sequence_breakers", "x", "invalid_type"],
  ["dynatemp_range", -1, "invalid_value"],
  ["dynatemp_exponent", "x", "invalid_type"],
  ["mirostat", 3, "invalid_value"],
  ["mirostat", -1, "invalid_value"],
  ["mirostat_tau", 0, "invalid_value"],
  ["mirostat_eta", 0, "invalid_value"],
  ["adaptive_target", 1.5, "invalid_value"],
  ["adaptive_decay", 1, "invalid_value"],
  ["min_keep", -1, "invalid_value"],
  ["samplers", ["nothing"], "invalid_value"],
  ["samplers", 3, "invalid_type"],
  ["seed", "1", "invalid_type"],
  ["seed", 1.5, "invalid_type"],
  ["n_predict", -2, "invalid_value"],
  ["ignore_eos", 1, "invalid_type"],
  ["n_probs", -1, "invalid_value"],
  ["post_sampling_probs", "x", "invalid_type"],
  ["return_tokens", 1, "invalid_type"],
  ["cache_prompt", 1, "invalid_type"],
  ["id_slot", -2, "invalid_value"],
  ["n_keep", "x", "invalid_type"],
  ["t_max_predict_ms", "x", "invalid_type"],
  ["n_indent", -1, "invalid_value"],
  ["timings_per_token", 1, "invalid_type"],
  ["return_progress", 1, "invalid_type"],
  ["response_fields", "x", "invalid_type"],
  ["stop", 3, "invalid_type"],
  ["stop", [3], "invalid_type"],
  ["stream", "yes", "invalid_type"],
  ["grammar", 3, "invalid_type"],
  ["logit_bias", 3, "invalid_type"],
  ["logit_bias", { 5: 101 }, "invalid_value"],
  ["logit_bias", { 5: "x" }, "invalid_type"],
  ["logit_bias", [[5]], "invalid_value"],
  ["lora", [{ id: 9, scale: 1 }], "*"],
  ["user", 3, "invalid_type"],
  ["json_schema", 3, "invalid_type"],
];
for (const route of [PATH, "/v1/chat/completions"]) {
  const base =
    route === PATH ? { prompt: "a", max_tokens: 1 } : { messages: [{ role: "user", content: "a" }], max_tokens: 1 };
  for (const name of new Set(RANGES.map(([member]) => member))) {
    check(`${route}: '${name}' out of type or range is 400 and named`, async ({ client }) => {
      for (const [, value, code] of RANGES.filter(([member]) => member === name)) {
        const error = await refuses(
          client,
          route,
          { ...base, [name]: value },
          code === "*" ? {} : { code: [code, "invalid_value", "invalid_type"] },
        );
        assert.ok(String(error["param"]).startsWith(name), JSON.stringify(error));
      }
    });
  }
}
const FAIR: readonly Members[] = [
  { dynatemp_range: 0.5, dynatemp_exponent: 2 },
  { top_k: 0 },
  { top_k: -1 },
  { typical_p: 0.5 },
  { top_n_sigma: 1.5 },
  { xtc_probability: 1, xtc_threshold: 0.05 },
  { repeat_penalty: 1.3, repeat_last_n: -1, penalize_nl: true },
  { dry_multiplier: 0.8, dry_base: 0.5, dry_sequence_breakers: ["\n"] },
  { mirostat: 1 },
  { mirostat: 2, mirostat_tau: 3, mirostat_eta: 0.2 },
  { adaptive_target: 0.3, adaptive_decay: 0.5 },
  { min_keep: 3, top_p: 0.1 },
  { samplers: ["top_k", "temperature"] },
  { samplers: "kt" },
  { samplers: [] },
  { logit_bias: { 5: -100, Hello: 3, " x": false } },
  {
    logit_bias: [
      [5, 1],
      ["text", false],
    ],
  },
  { ignore_eos: true },
  { cache_prompt: false },
  { id_slot: -1 },
  { slot_id: 0 },
  { id_slot: 99 },
  { n_keep: -1, n_discard: 0, n_cache_reuse: 0 },
  { t_max_predict_ms: 5000 },
  { n_indent: 0 },
  { timings_per_token: true },
  { sse_ping_interval: -1 },
  { lora: [] },
  { verbose: true },
  { seed: -1 },
  { seed: 2 ** 53 - 1 },
  { grammar: 'root ::= "yes" | "no"' },
  { json_schema: { type: "object" } },
  { n_predict: 2 },
  { grammar_lazy: false, grammar_triggers: [], preserved_tokens: [] },
];
for (const members of FAIR) {
  check(`${JSON.stringify(members)} is accepted`, async ({ client }) => {
    const reply = await client.post(PATH, { prompt: "Hello", max_tokens: 4, temperature: 1, ...members });
    assert.ok(reply.status === 200 || (reply.status === 400 && members["id_slot"] === 99), reply.text);
  });
}
/** Every token may come. */
const wild = { prompt: "Once", temperature: 1.5, top_k: 0, min_p: 0, top_p: 1, max_tokens: 24, ignore_eos: true };
check("the same seed gives the same text, and another one another", async ({ client }) => {
  const run = async (seed: number) => textOf(await client.ask(PATH, { ...wild, seed }));
  assert.equal(await run(7), await run(7));
  assert.notEqual(await run(7), await run(8));
});
check("choices differ among themselves, and repeat with their seed", async ({ client }) => {
  const body = { ...wild, seed: 7, n: 3 };
  const texts = async () => choicesOf(await client.ask(PATH, body)).map((choice) => choice.text);
  const first = await texts();
  assert.equal(new Set(first).size, 3);
  assert.deepEqual(await texts(), first);
});
check("a bias of false never lets a token be, ids beyond the vocabulary are refused", async ({ client, model }) => {
  const whole = textOf(await client.ask(PATH, greedy));
  const { tokens } = (await client.ask("/tokenize", { content: whole })) as { tokens: number[] };
  assert.notEqual(textOf(await client.ask(PATH, { ...greedy, logit_bias: [[tokens[0], false]] })), whole);
  await refuses(client, PATH, { ...greedy, logit_bias: { [model.vocabularySize + 9]: 1 } }, { code: "invalid_value" });
});
check("ignore_eos never ends before the limit", async ({ client }) => {
  const answer = await client.ask(PATH, { ...greedy, ignore_eos: true, max_tokens: 50, logit_bias: [] });
  assert.equal(usageOf(answer)["completion_tokens"], 50);
});
check("a grammar is followed", async ({ client }) => {
  const answer = await client.ask(PATH, {
    prompt: "x",
    grammar: 'root ::= ("yes" | "no")',
    temperature: 1,
    max_tokens: 20,
  });
  assert.match(textOf(answer), /^(yes|no)$/);
});
check("a broken grammar is refused", async ({ client }) => {
  for (const grammar of ["root ::= (", "x ::= y", 'root ::= "a" nothing']) {
    await refuses(client, PATH, { prompt: "a", grammar }, { code: ["invalid_grammar"], param: "grammar" });
  }
  await refuses(client, PATH, { prompt: "a", grammar: 'root ::= "a"', json_schema: {} }, { code: "invalid_value" });
});
check("a prompt beyond the context is refused in OpenAI's and llama.cpp's words at once", async ({ client, model }) => {
  const body = { prompt: "word ".repeat(Math.min(model.contextLength * 2, 200_000)) };
  for (const stream of [false, true]) {
    const error = await refuses(
      client,
      PATH,
      { ...body, stream },
      { code: "context_length_exceeded", param: "prompt" },
    );
    assert.equal(error["type"], "exceed_context_size_error");
    assert.equal(error["n_ctx"], model.contextLength);
    assert.ok((error["n_prompt_tokens"] as number) >= model.contextLength);
    assert.match(String(error["message"]), /maximum context length is \d+ tokens.*exceeds the available context size/);
  }
});
check("cached_tokens stays below prompt_tokens, and cache_prompt false reports none", async ({ client }) => {
  const body = { ...greedy, prompt: chatml("Tell me about the cache, please.") };
  await client.ask(PATH, body);
  const cached = async (more: Members) => {
    const usage = (await client.ask(PATH, { ...body, ...more }))["usage"] as {
      prompt_tokens: number;
      prompt_tokens_details: { cached_tokens: number };
    };
    assert.ok(usage.prompt_tokens_details.cached_tokens < usage.prompt_tokens);
    return usage.prompt_tokens_details.cached_tokens;
  };
  assert.ok((await cached({})) > 0);
  assert.equal(await cached({ cache_prompt: false }), 0);
});
