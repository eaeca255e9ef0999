/** Real answers of every route against the schemas that docs/openapi.json is made of. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import supertest from "supertest";

import type { Engine } from "../../src/domain/engine.ts";
import { ANSWERS, type AnswerName } from "../../src/openai/answers/answers.ts";
import { createOpenApi } from "../../src/openai/openapi.ts";
import { startDemoEngine } from "../support/demo-engine.ts";
import { FakeEngine, done } from "../support/fake-engine.ts";
import { appOf, listen } from "../support/server.ts";
import { skipWithoutStreams } from "../support/through-network.ts";

const user = { role: "user", content: "Say this is a test" };
const parameters = { type: "object", properties: { city: { enum: ["Paris", "Rome"] } }, required: ["city"] };
const definition = { name: "get_weather", description: "The weather of a city", parameters };
const tools = [{ type: "function", function: definition }];
const chat = { messages: [user], temperature: 0, max_tokens: 40 };
const reports = { timings_per_token: true, return_progress: true, return_tokens: true };
const responseTools = [{ type: "function", ...definition }];
const claudeTools = [{ name: "get_weather", input_schema: parameters }];

/** A path, a body where it is posted, the answer's name, and that of its events where it can be a stream. */
type Row = readonly [path: string, body: object | undefined, name: AnswerName, event?: AnswerName];

const ROWS: readonly Row[] = [
  ["/v1/chat/completions", { ...chat, n: 2, ...reports }, "ChatCompletion", "ChatCompletionChunk"],
  ["/v1/chat/completions", { ...chat, logprobs: true, top_logprobs: 3 }, "ChatCompletion", "ChatCompletionChunk"],
  ["/v1/chat/completions", { ...chat, n_probs: 2, post_sampling_probs: true }, "ChatCompletion", "ChatCompletionChunk"],
  ["/v1/chat/completions", { ...chat, tools, tool_choice: "required" }, "ChatCompletion", "ChatCompletionChunk"],
  [
    "/v1/chat/completions",
    { ...chat, functions: [definition], function_call: { name: "get_weather" } },
    "ChatCompletion",
    "ChatCompletionChunk",
  ],
  ["/v1/chat/completions", { ...chat, verbose: true }, "ChatCompletion", "ChatCompletionChunk"],
  ["/v1/chat/completions/input_tokens", chat, "InputTokens"],
  ["/apply-template", chat, "AppliedTemplate"],
  [
    "/v1/completions",
    { prompt: ["a", "b"], n: 2, echo: true, logprobs: 2, max_tokens: 4, ...reports },
    "TextCompletion",
    "TextCompletionChunk",
  ],
  ["/v1/completions", { prompt: "Hello" }, "TextCompletion", "TextCompletionChunk"],
  [
    "/v1/completions",
    { prompt: "Hello", logprobs: 2, max_tokens: 4, post_sampling_probs: true },
    "TextCompletion",
    "TextCompletionChunk",
  ],
  ["/completion", { prompt: "Hello", n_predict: 5, n_probs: 2, ...reports }, "NativeCompletion", "NativeEvent"],
  [
    "/completion",
    { prompt: ["a", "b"], n_predict: 5, n_probs: 2, post_sampling_probs: true },
    "NativeCompletion",
    "NativeEvent",
  ],
  ["/v1/responses", { input: "Hi", max_output_tokens: 20 }, "Response", "ResponseEvent"],
  [
    "/v1/responses",
    {
      input: "Hi",
      max_output_tokens: 3,
      include: ["message.output_text.logprobs"],
      top_logprobs: 1,
      metadata: { a: "b" },
    },
    "Response",
    "ResponseEvent",
  ],
  [
    "/v1/responses",
    { input: "Weather?", tools: responseTools, tool_choice: "required", text: { format: { type: "json_object" } } },
    "Response",
    "ResponseEvent",
  ],
  ["/v1/responses/input_tokens", { input: "Hi" }, "InputTokens"],
  ["/v1/messages", { messages: [user], max_tokens: 20 }, "Message", "MessageEvent"],
  [
    "/v1/messages",
    { messages: [user], max_tokens: 60, tools: claudeTools, tool_choice: { type: "any" } },
    "Message",
    "MessageEvent",
  ],
  ["/v1/messages/count_tokens", { messages: [user] }, "MessageTokens"],
  ["/v1/embeddings", { input: ["a", "b"] }, "EmbeddingList"],
  ["/v1/embeddings", { input: "a", encoding_format: "base64" }, "EmbeddingList"],
  ["/embedding", { content: "a" }, "NativeEmbeddings"],
  ["/v1/rerank", { query: "a", documents: ["a", "b"], return_documents: true }, "Ranking"],
  ["/v1/rerank", { query: "a", texts: ["a", "b"], return_text: true }, "Ranking"],
  ["/tokenize", { content: "Hello 👋", with_pieces: true }, "TokenList"],
  ["/tokenize", { content: "Hello" }, "TokenList"],
  ["/detokenize", { tokens: [70, 71] }, "Detokenized"],
  ["/slots/0?action=erase", {}, "ErasedSlot"],
  ["/v1/models", undefined, "ModelList"],
  ["/v1/models/aleph-tiny-chat", undefined, "Model"],
  ["/props", undefined, "Props"],
  ["/slots", undefined, "Slots"],
  ["/lora-adapters", undefined, "Adapters"],
  ["/health", undefined, "Health"],
];

describe("answers and their schemas", () => {
  let engine: Engine;
  const seen = new Set<AnswerName>();
  before(async () => {
    engine = await startDemoEngine();
  });
  after(() => engine.close());

  function fits(name: AnswerName, value: unknown): void {
    const { success, error } = ANSWERS[name].safeParse(value);
    assert.ok(success, `${name}: ${error?.message} in ${JSON.stringify(value)?.slice(0, 1000)}`);
    seen.add(name);
  }

  function eventsFit(name: AnswerName, text: string): void {
    const data = text.match(/^data: (?!\[DONE\]).*$/gm) ?? [];
    assert.ok(data.length > 1, text.slice(0, 300));
    for (const line of data) fits(name, JSON.parse(line.slice("data: ".length)));
  }

  test("whole answers and streams have the members that are described, and no others", async () => {
    const app = appOf(engine);
    for (const [path, body, name, event] of ROWS) {
      const asked = body === undefined ? supertest(app).get(path) : supertest(app).post(path).send(body);
      fits(name, (await asked.expect(200)).body);
      if (event === undefined) continue;
      const options = path.startsWith("/v1/c") ? { stream_options: { include_usage: true } } : {};
      eventsFit(
        event,
        (
          await supertest(app)
            .post(path)
            .send({ ...body, stream: true, ...options })
            .expect(200)
        ).text,
      );
    }
  });

  test("stored responses, their events and items are as described, running, ended and deleted", async () => {
    const app = appOf(engine);
    const created = await supertest(app).post("/v1/responses").send({ input: "Hi", background: true }).expect(200);
    const path = `/v1/responses/${created.body.id}`;
    fits("ResponseEvents", (await supertest(app).get(`${path}/events?wait=5`).expect(200)).body);
    fits("Response", (await supertest(app).get(path).expect(200)).body);
    fits("Response", (await supertest(app).post(`${path}/cancel`).expect(200)).body);
    fits("InputItems", (await supertest(app).get(`${path}/input_items`).expect(200)).body);
    fits("DeletedResponse", (await supertest(app).delete(path).expect(200)).body);
  });

  test("a busy slot is as described", { skip: skipWithoutStreams }, async (t) => {
    const { url } = await listen(t, appOf(engine));
    const body = JSON.stringify({ prompt: "Once", n_predict: 1000, ignore_eos: true, stream: true });
    const controller = new AbortController();
    const response = await fetch(`${url}/completion`, { method: "POST", body, signal: controller.signal });
    await response.body!.getReader().read();
    const slots = (await (await fetch(`${url}/slots`)).json()) as { is_processing: boolean }[];
    assert.ok(slots.some((slot) => slot.is_processing));
    fits("Slots", slots);
    controller.abort();
  });

  test("refusals and faults are as described, in both shapes, whole and in streams", async () => {
    const app = appOf(engine);
    const bodies = [{}, { messages: [] }, { messages: [user], model: "x" }, { messages: [user], n: 0 }];
    for (const body of bodies) {
      fits("Error", (await supertest(app).post("/v1/chat/completions").send(body)).body);
    }
    for (const body of [...bodies, { messages: [user], max_tokens: 5, thread: "x" }]) {
      const { body: refusal } = await supertest(app)
        .post("/v1/messages")
        .send({ max_tokens: 0, ...body });
      fits("MessageError", refusal);
    }
    const long = { messages: [{ role: "user", content: "a ".repeat(4000) }] };
    fits("Error", (await supertest(app).post("/v1/chat/completions").send(long).expect(400)).body);
    const script = [{ type: "started" }, { type: "text", choice: 0, text: "a" }, new Error("broken")] as const;
    const failing = appOf(new FakeEngine({ script }));
    eventsFit(
      "ResponseEvent",
      (await supertest(failing).post("/v1/responses").send({ input: "a", stream: true })).text,
    );
    const message = { messages: [user], max_tokens: 5, stream: true };
    eventsFit("MessageEvent", (await supertest(failing).post("/v1/messages").send(message)).text);
  });

  test("thinking is as described in all three APIs", async () => {
    const script = [
      { type: "started" },
      { type: "text", choice: 0, text: "<think>so</think>it is" },
      { type: "finish", choice: 0, reason: "stop" },
      done(4),
    ] as const;
    const thinking = new FakeEngine({ script });
    Object.assign(thinking, { model: { ...thinking.model, chatTemplate: "{{ messages }}</think>" } });
    const app = appOf(thinking);
    const rows = ROWS.filter(
      ([path, body]) => /^\/v1\/(?:chat\/completions|responses|messages)$/.test(path) && !("tools" in body!),
    );
    for (const [path, body, name, event] of rows.filter(([, asked]) => !("functions" in asked!) && !("n" in asked!))) {
      const { body: whole, text } = await supertest(app).post(path).send(body).expect(200);
      assert.match(text, /"so"/, path);
      fits(name, whole);
      eventsFit(
        event!,
        (
          await supertest(app)
            .post(path)
            .send({ ...body, stream: true })
            .expect(200)
        ).text,
      );
    }
  });

  test("every schema was held against an answer, and every one that the document names is there", () => {
    assert.deepEqual(
      Object.keys(ANSWERS).filter((name) => !seen.has(name as AnswerName)),
      [],
    );
    const { schemas } = createOpenApi()["components"] as { schemas: Record<string, unknown> };
    const named = JSON.stringify(createOpenApi()).matchAll(/"#\/components\/schemas\/(\w+)"/g);
    for (const [, name] of named) assert.ok(Object.hasOwn(schemas, name!), name);
  });
});
