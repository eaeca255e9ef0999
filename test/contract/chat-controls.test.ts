/** llama.cpp's controls and reports on POST /v1/chat/completions. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import supertest from "supertest";

import type { Engine } from "../../src/domain/engine.ts";
import { startDemoEngine } from "../support/demo-engine.ts";
import { appOf, eventsIn } from "../support/server.ts";

type Members = Readonly<Record<string, unknown>>;
interface Token extends Members {
  readonly token: string;
  readonly bytes: readonly number[];
}
interface Choice {
  readonly finish_reason: string | null;
  readonly message: { readonly content: string };
  readonly delta: { readonly role?: string; readonly content?: string };
  readonly logprobs: { readonly content: readonly Token[] } | null;
  readonly tokens?: readonly number[];
}
interface Answer extends Members {
  readonly choices: readonly [Choice];
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number };
  readonly timings?: Readonly<Record<string, number>>;
  readonly prompt_progress?: { readonly total: number; readonly cache: number; readonly processed: number };
}

const say = { messages: [{ role: "user", content: "Say this is a test" }], temperature: 0 };
const expected = "This is a test.";

describe("llama.cpp's controls of a chat", () => {
  let engine: Engine;
  before(async () => {
    engine = await startDemoEngine();
  });
  after(() => engine.close());

  const post = (path: string, body: object) => supertest(appOf(engine)).post(path).send(body);
  const send = (body: object) => post("/v1/chat/completions", { ...say, ...body });
  const ask = async (body: object) => (await send(body).expect(200)).body as Answer;
  const stream = async (body: object) => {
    const events = eventsIn((await send({ ...body, stream: true }).expect(200)).text);
    assert.equal(events.pop(), "[DONE]");
    return events.map((event) => JSON.parse(event) as Answer);
  };
  const hasText = ({ choices: [choice] }: Answer) => (choice.delta.content ?? "") !== "";

  test("timings_per_token adds growing times to each piece of text, and only then", async () => {
    const pieces = (await stream({ timings_per_token: true })).filter(hasText);
    const counts = pieces.map(({ timings }) => timings?.["predicted_n"] ?? -1);
    assert.ok(counts.length > 3 && counts.every((count, index) => count > (counts[index - 1] ?? 0)), String(counts));
    const plain = await stream({});
    assert.deepEqual(
      plain.map((chunk) => "timings" in chunk),
      plain.map((_, index) => index === plain.length - 1),
    );
  });

  test("return_progress sends role chunks from what is cached to all of the prompt", async () => {
    const long = { messages: [{ role: "user", content: "a fox and a crow ".repeat(60) }], max_tokens: 3 };
    const chunks = await stream({ ...long, return_progress: true, cache_prompt: false });
    const progress = chunks.flatMap((chunk) => chunk.prompt_progress ?? []);
    assert.ok(progress.length >= 2);
    const [first, last] = [progress[0]!, progress.at(-1)!];
    assert.deepEqual([first.cache, first.processed, last.processed], [0, 0, last.total]);
    for (const { prompt_progress, choices } of chunks) {
      if (prompt_progress !== undefined) assert.equal(choices[0].delta.role, "assistant");
    }
    assert.ok((await stream(long)).every((chunk) => !("prompt_progress" in chunk)));
  });

  test("id_slot is the slot that computes, slot_id too, and one that is not there is no fault", async () => {
    for (const [name, id] of [
      ["id_slot", 3],
      ["slot_id", 1],
    ] as const) {
      const { usage } = await ask({ messages: [{ role: "user", content: `${name} ${id}` }], [name]: id });
      const slots = (await supertest(appOf(engine)).get("/slots")).body as { n_prompt_tokens_cache: number }[];
      assert.equal(slots[id]!.n_prompt_tokens_cache, usage.prompt_tokens + usage.completion_tokens);
    }
    assert.equal((await ask({ id_slot: 99 })).choices[0].message.content, expected);
  });

  test("n_indent ends an answer before a line that is indented less", async () => {
    const grammar = String.raw`root ::= "    a\n    b\n  c\n    d"`;
    const { choices } = await ask({ grammar, n_indent: 4 });
    assert.equal(choices[0].message.content, "    a\n    b\n");
    assert.equal((await ask({ grammar })).choices[0].message.content, "    a\n    b\n  c\n    d");
  });

  test("t_max_predict_ms ends an answer with length, at a line's end", async () => {
    const grammar = String.raw`root ::= ([a-z]{9} "\n")+`;
    const { choices } = await ask({ grammar, t_max_predict_ms: 40, temperature: 1 });
    assert.equal(choices[0].finish_reason, "length");
    assert.match(choices[0].message.content, /^([a-z]{9}\n)+$/);
    assert.equal((await ask({ t_max_predict_ms: -1 })).choices[0].message.content, expected);
  });

  test("n_probs reports probabilities without logprobs being asked for", async () => {
    const { choices } = await ask({ n_probs: 3 });
    const tokens = choices[0].logprobs!.content;
    assert.equal(tokens.map(({ token }) => token).join(""), expected);
    for (const { top_logprobs: top } of tokens) assert.equal((top as unknown[]).length, 3);
    const larger = await ask({ logprobs: true, top_logprobs: 2, n_probs: 5 });
    assert.equal((larger.choices[0].logprobs!.content[0]!["top_logprobs"] as unknown[]).length, 5);
  });

  test("post_sampling_probs reports prob and top_probs, whole and streamed, as the samplers leave them", async () => {
    const body = { n_probs: 4, post_sampling_probs: true, temperature: 1, top_k: 2, top_p: 1, min_p: 0, seed: 5 };
    const whole = (await ask(body)).choices[0].logprobs!.content;
    const pieces = (await stream(body)).flatMap(({ choices }) => choices[0].logprobs?.content ?? []);
    assert.deepEqual(pieces, whole);
    for (const token of whole) {
      assert.ok(!("logprob" in token) && !("top_logprobs" in token));
      const top = token["top_probs"] as { prob: number }[];
      const sum = top.reduce((total, { prob }) => total + prob, 0);
      assert.ok(top.length >= 1 && top.length <= 2 && Math.abs(sum - 1) < 1e-5, JSON.stringify(token));
      assert.ok((token["prob"] as number) > 0);
    }
  });

  test("verbose adds the prompt and all settings to a whole answer; a stream reports that it does not", async () => {
    const { body } = await send({ verbose: true, temperature: 0.5, top_k: 7 });
    const { __verbose: origin } = body as {
      __verbose: { prompt: string; generation_settings: Record<string, unknown> };
    };
    const rendered = (await post("/apply-template", say)).body as { prompt: string };
    assert.equal(origin.prompt, rendered.prompt);
    const { temperature, top_k: topK, mirostat, samplers } = origin.generation_settings;
    assert.deepEqual([temperature, topK, mirostat, Array.isArray(samplers)], [0.5, 7, 0, true]);
    const without = await send({ max_tokens: 1 });
    assert.ok(!("__verbose" in (without.body as object)));
    const { headers } = await send({ verbose: true, stream: true, max_tokens: 1 });
    assert.equal(headers["x-ignored-params"], "verbose");
  });

  test("return_tokens reports the answer's ids, whole and streamed, which are its text again", async () => {
    const [choice] = (await ask({ return_tokens: true })).choices;
    const streamed = (await stream({ return_tokens: true })).flatMap(({ choices }) => choices[0].tokens ?? []);
    assert.deepEqual(streamed, choice.tokens);
    const { content } = (await post("/detokenize", { tokens: choice.tokens })).body as { content: string };
    assert.equal(content, expected);
    assert.ok(!("tokens" in (await ask({})).choices[0]));
  });

  test("return_tokens counts all tokens of a call, whose text is held back", async () => {
    const parameters = { type: "object", properties: { city: { enum: ["Paris"] } }, required: ["city"] };
    const tools = [{ type: "function", function: { name: "get_weather", parameters } }];
    const { choices, usage } = await ask({ tools, tool_choice: "required", return_tokens: true });
    assert.equal(choices[0].tokens?.length, usage.completion_tokens);
  });

  test("response_fields keeps what it names of a whole answer; a stream is sent as it comes, and says so", async () => {
    const response_fields = ["id", "usage/total_tokens", "choices/0/message/content", "nothing"];
    const answer = await ask({ response_fields });
    assert.deepEqual(Object.keys(answer), ["id", "usage/total_tokens", "choices/0/message/content"]);
    assert.equal(answer["choices/0/message/content"], expected);
    const streamed = await send({ response_fields, stream: true }).expect("X-Ignored-Params", "response_fields");
    assert.match(streamed.text, /"object":"chat.completion.chunk"/);
  });

  test("what reports on tokens is checked, and named as without effect, where an answer has no room for it", async () => {
    for (const [path, body] of [
      ["/v1/responses", { input: "a", max_output_tokens: 2 }],
      ["/v1/messages", { messages: say.messages, max_tokens: 2 }],
    ] as const) {
      const reports = { n_probs: 2, timings_per_token: true, return_tokens: true, response_fields: ["id"] };
      await post(path, { ...body, ...reports })
        .expect(200)
        .expect("X-Ignored-Params", Object.keys(reports).join(", "));
      await post(path, { ...body, n_probs: "2" }).expect(400);
    }
  });

  test("a bias has OpenAI's range on OpenAI's routes, any on llama.cpp's, and the refusal names what is allowed", async () => {
    const { error } = (await send({ logit_bias: { 5: "x" } }).expect(400)).body as { error: Members };
    assert.deepEqual([error["code"], error["param"]], ["invalid_type", "logit_bias.5"]);
    assert.match(String(error["message"]), /expected a number between -100 and 100, or false for never, got "x"/);
    await send({ logit_bias: [[5, -1000]] }).expect(400);
    const { tokens } = (await post("/tokenize", { content: "This" })).body as { tokens: number[] };
    const native = {
      prompt: "<|im_start|>user\nSay this is a test<|im_end|>\n<|im_start|>assistant\n",
      temperature: 0,
    };
    const { content } = (await post("/completion", { ...native, logit_bias: [[tokens[0], -1000]] }).expect(200))
      .body as { content: string };
    assert.ok(!content.startsWith("This"), content);
  });
});
