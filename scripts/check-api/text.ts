import assert from "node:assert/strict";

import type { Members, StreamedEvent } from "./client.ts";
import { chatml, hasMembers, refuses, refusesEach, section } from "./checks.ts";

const { checks, check } = section("5-6 completions and sampling");
export const text = checks;

const PATH = "/v1/completions";
const question = chatml("Say this is a test");
const greedy = { prompt: question, temperature: 0 };

interface Choice {
  readonly index: number;
  readonly text: string;
  readonly finish_reason: string | null;
  readonly logprobs: Legacy | null;
}
interface Legacy {
  readonly tokens: string[];
  readonly token_logprobs: (number | null)[];
  readonly top_logprobs: (Record<string, number> | null)[];
  readonly text_offset: number[];
}
const choicesOf = (answer: Members) => answer["choices"] as Choice[];
const usageOf = (answer: Members) => answer["usage"] as Record<string, number>;
const textOf = (answer: Members) => choicesOf(answer)[0]!.text;
const deltas = (events: readonly StreamedEvent[], index = 0) =>
  events
    .slice(0, -1)
    .flatMap(({ json }) => choicesOf(json).filter((choice) => choice.index === index))
    .map((choice) => choice.text)
    .join("");

check("the answer has OpenAI's members", async ({ client, model }) => {
  const answer = await client.ask(PATH, greedy);
  hasMembers(answer, "id object created model system_fingerprint choices usage timings");
  assert.match(String(answer["id"]), /^cmpl-/);
  assert.deepEqual([answer["object"], answer["model"]], ["text_completion", model.id]);
  hasMembers(choicesOf(answer)[0], "index text logprobs finish_reason");
  assert.equal(choicesOf(answer)[0]!.logprobs, null);
  const usage = usageOf(answer);
  assert.equal(usage["total_tokens"], usage["prompt_tokens"]! + usage["completion_tokens"]!);
});
check("max_tokens is 16 by default, -1 runs on, 0 needs echo", async ({ client }) => {
  const long = { ...greedy, ignore_eos: true };
  const answer = await client.ask(PATH, long);
  assert.deepEqual([usageOf(answer)["completion_tokens"], choicesOf(answer)[0]!.finish_reason], [16, "length"]);
  assert.equal(choicesOf(await client.ask(PATH, { ...greedy, max_tokens: -1 }))[0]!.finish_reason, "stop");
  await refuses(client, PATH, { ...greedy, max_tokens: 0 }, { code: "invalid_value", param: "max_tokens" });
  assert.equal(textOf(await client.ask(PATH, { ...greedy, max_tokens: 0, echo: true })), question);
});
check("several prompts are answered in order, and usage sums over all", async ({ client }) => {
  const both = await client.ask(PATH, { ...greedy, prompt: [question, chatml("Hello")], n: 2 });
  assert.deepEqual(
    choicesOf(both).map(({ index }) => index),
    [0, 1, 2, 3],
  );
  const one = await client.ask(PATH, greedy);
  const two = await client.ask(PATH, { ...greedy, prompt: chatml("Hello") });
  assert.deepEqual(
    choicesOf(both).map((choice) => choice.text),
    [textOf(one), textOf(one), textOf(two), textOf(two)],
  );
  assert.equal(usageOf(both)["prompt_tokens"], usageOf(one)["prompt_tokens"]! + usageOf(two)["prompt_tokens"]!);
  assert.equal(
    usageOf(both)["completion_tokens"],
    2 * (usageOf(one)["completion_tokens"]! + usageOf(two)["completion_tokens"]!),
  );
});
check("token ids, lists of them and ids mixed with text are prompts", async ({ client }) => {
  const { tokens } = (await client.ask("/tokenize", { content: question })) as { tokens: number[] };
  const expected = textOf(await client.ask(PATH, greedy));
  assert.equal(textOf(await client.ask(PATH, { ...greedy, prompt: tokens })), expected);
  assert.equal(choicesOf(await client.ask(PATH, { ...greedy, prompt: [tokens, tokens] })).length, 2);
  assert.equal(choicesOf(await client.ask(PATH, { ...greedy, prompt: [tokens[0], "a"] })).length, 1);
});
check("control tokens in a text prompt are parsed", async ({ client }) => {
  const parsed = usageOf(await client.ask(PATH, greedy))["prompt_tokens"]!;
  const { tokens } = (await client.ask("/tokenize", { content: question, parse_special: false })) as {
    tokens: number[];
  };
  assert.ok(parsed < tokens.length);
});
check("what is no prompt is refused by name", async ({ client, model }) => {
  for (const [prompt, code] of [
    [undefined, "missing_required_parameter"],
    [[], "invalid_value"],
    [{}, "invalid_type"],
    [3, "invalid_type"],
    [true, "invalid_type"],
    [[1.5], "invalid_type"],
    [[-1], "invalid_value"],
    [[model.vocabularySize + 5], "invalid_value"],
    [[[]], "invalid_value"],
  ] as const) {
    const error = await refuses(client, PATH, { prompt }, { code: [code] });
    assert.match(String(error["param"]), /^prompt/);
  }
});
check(
  "n and best_of have their ranges",
  refusesEach(PATH, greedy, [
    [{ n: 0 }, "invalid_value", "n"],
    [{ n: 21 }, "invalid_value", "n"],
    [{ n: "2" }, "invalid_type", "n"],
    [{ n: 3, best_of: 2 }, "invalid_value", "best_of"],
    [{ best_of: 2, stream: true }, "invalid_value", "best_of"],
  ]),
);
check("best_of sends the n likeliest and counts all", async ({ client }) => {
  const answer = await client.ask(PATH, {
    prompt: "Once",
    temperature: 1.5,
    seed: 3,
    n: 2,
    best_of: 4,
    max_tokens: 5,
    ignore_eos: true,
  });
  assert.equal(choicesOf(answer).length, 2);
  assert.equal(usageOf(answer)["completion_tokens"], 20);
});
check("echo puts the prompt in front, in streams too", async ({ client }) => {
  const expected = question + textOf(await client.ask(PATH, greedy));
  assert.equal(textOf(await client.ask(PATH, { ...greedy, echo: true })), expected);
  assert.equal(deltas(await client.stream(PATH, { ...greedy, echo: true })), expected);
});
check("logprobs have the old shape", async ({ client }) => {
  const [choice] = choicesOf(await client.ask(PATH, { ...greedy, logprobs: 3 }));
  const { tokens, token_logprobs, top_logprobs, text_offset } = choice!.logprobs!;
  assert.equal(tokens.join(""), choice!.text);
  assert.ok([token_logprobs, top_logprobs, text_offset].every((list) => list.length === tokens.length));
  assert.ok(token_logprobs.every((value) => value !== null && value <= 0));
  assert.ok(top_logprobs.every((top) => Object.keys(top!).length >= 3));
  let offset = 0;
  for (const [index, token] of tokens.entries()) {
    assert.equal(text_offset[index], offset);
    offset += Array.from(token).length;
  }
});
check("logprobs travel with a stream's pieces", async ({ client }) => {
  const [choice] = choicesOf(await client.ask(PATH, { ...greedy, logprobs: 1 }));
  const events = await client.stream(PATH, { ...greedy, logprobs: 1 });
  const tokens = events.slice(0, -1).flatMap(({ json }) => choicesOf(json)[0]?.logprobs?.tokens ?? []);
  assert.deepEqual(tokens, choice!.logprobs!.tokens);
});
check("echo with logprobs scores the prompt, its first token null", async ({ client }) => {
  const answer = await client.ask(PATH, { prompt: "Hello world, this is", echo: true, max_tokens: 0, logprobs: 1 });
  const { tokens, token_logprobs: logprobs, text_offset: offsets } = choicesOf(answer)[0]!.logprobs!;
  assert.ok(tokens.length > 1, JSON.stringify(answer).slice(0, 300));
  assert.equal(logprobs[0], null);
  assert.ok(logprobs.slice(1).every((value) => typeof value === "number" && value <= 0));
  assert.equal(tokens.join(""), textOf(answer));
  assert.equal(offsets[0], 0);
});
check(
  "logprobs beyond 5, and no numbers, are refused",
  refusesEach(PATH, greedy, [
    [{ logprobs: 6 }, "invalid_value", "logprobs"],
    [{ logprobs: -1 }, "invalid_value", "logprobs"],
    [{ logprobs: true }, "invalid_type", "logprobs"],
  ]),
);
check("suffix is used, or refused by name where the model cannot", async ({ client }) => {
  const reply = await client.post(PATH, { prompt: "a", suffix: "b", max_tokens: 2 });
  if (reply.status === 200) return;
  await refuses(client, PATH, { prompt: "a", suffix: "b" }, { code: "unsupported_parameter", param: "suffix" });
});
check("response_format governs a text answer too", async ({ client }) => {
  const schema = {
    type: "object",
    properties: { a: { type: "integer" } },
    required: ["a"],
    additionalProperties: false,
  };
  const answer = await client.ask(PATH, {
    prompt: "x",
    max_tokens: 60,
    temperature: 1,
    seed: 1,
    response_format: { type: "json_schema", json_schema: { name: "t", schema } },
  });
  if (choicesOf(answer)[0]!.finish_reason === "stop")
    assert.equal(typeof (JSON.parse(textOf(answer)) as { a: unknown }).a, "number");
});
check("a stream has text_completion chunks with equal heads, a reason last, then [DONE]", async ({ client }) => {
  const events = await client.stream(PATH, greedy);
  assert.equal(events.at(-1)!.data, "[DONE]");
  const chunks = events.slice(0, -1).map(({ json }) => json);
  for (const name of ["id", "object", "created", "model", "system_fingerprint"])
    assert.equal(new Set(chunks.map((chunk) => chunk[name])).size, 1, name);
  assert.equal(chunks[0]!["object"], "text_completion");
  assert.equal(deltas(events), textOf(await client.ask(PATH, greedy)));
  const reasons = chunks.flatMap((chunk) => choicesOf(chunk).map(({ finish_reason: reason }) => reason));
  assert.deepEqual(
    reasons.filter((reason) => reason !== null),
    ["stop"],
  );
  assert.ok("timings" in chunks.at(-1)!);
});
check("include_usage ends a stream with the usage, null before", async ({ client }) => {
  const events = await client.stream(PATH, { ...greedy, stream_options: { include_usage: true } });
  const chunks = events.slice(0, -1).map(({ json }) => json);
  const last = chunks.pop()!;
  assert.deepEqual(last["choices"], []);
  assert.ok(usageOf(last)["completion_tokens"]! > 0);
  assert.ok(chunks.every((chunk) => chunk["usage"] === null));
});
check(
  "stream_options without stream are refused",
  refusesEach(PATH, greedy, [[{ stream_options: { include_usage: true } }, "invalid_value", "stream_options"]]),
);
check("stop ends the text, as a string and as an array, empty strings skipped", async ({ client }) => {
  const whole = textOf(await client.ask(PATH, { ...greedy, max_tokens: 40 }));
  const word = whole.slice(5, 8);
  for (const stop of [word, ["zzz", word, ""]]) {
    const answer = await client.ask(PATH, { ...greedy, max_tokens: 40, stop });
    assert.deepEqual(
      [textOf(answer), choicesOf(answer)[0]!.finish_reason],
      [whole.slice(0, whole.indexOf(word)), "stop"],
    );
  }
  assert.equal(
    deltas(await client.stream(PATH, { ...greedy, max_tokens: 40, stop: word })),
    whole.slice(0, whole.indexOf(word)),
  );
});

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
check("the same seed gives the same text, and another one another", async ({ client }) => {
  const run = async (seed: number) =>
    textOf(
      await client.ask(PATH, {
        prompt: "Once",
        temperature: 1.5,
        top_k: 0,
        min_p: 0,
        top_p: 1,
        max_tokens: 24,
        seed,
        ignore_eos: true,
      }),
    );
  assert.equal(await run(7), await run(7));
  assert.notEqual(await run(7), await run(8));
});
check("choices differ among themselves, and repeat with their seed", async ({ client }) => {
  const body = {
    prompt: "Once",
    temperature: 1.5,
    top_k: 0,
    min_p: 0,
    top_p: 1,
    max_tokens: 24,
    seed: 7,
    n: 3,
    ignore_eos: true,
  };
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
