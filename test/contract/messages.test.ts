/** Anthropic's Messages API over the real engine and the demo model. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import supertest from "supertest";

import type { Engine } from "../../src/domain/engine.ts";
import { CodedError } from "../../src/domain/errors.ts";
import { parseSha256 } from "../../src/domain/hash.ts";
import { startDemoEngine } from "../support/demo-engine.ts";
import { FakeEngine, saying } from "../support/fake-engine.ts";
import { appOf, listen } from "../support/server.ts";
import { skipWithoutStreams } from "../support/through-network.ts";

const SAY = "Say this is a test";
const ask = { model: "aleph-tiny-chat", max_tokens: 64, temperature: 0, messages: [{ role: "user", content: SAY }] };

interface Message {
  readonly id: string;
  readonly content: { type: string; text?: string }[];
  readonly stop_reason: string;
  readonly stop_sequence: string | null;
  readonly usage: { input_tokens: number; cache_read_input_tokens: number; output_tokens: number };
}

interface MessageError {
  readonly type: string;
  readonly error: { readonly type: string; readonly message: string; readonly details?: object };
  readonly request_id: string;
}

function textOf({ content }: Message): string {
  return content.map(({ text }) => text ?? "").join("");
}

interface Event {
  readonly type: string;
  readonly index?: number;
  readonly delta?: { readonly text?: string; readonly stop_reason?: string };
  readonly message?: Message;
  readonly error?: { readonly type: string };
  readonly usage?: Message["usage"];
}

function eventsOf(text: string): Event[] {
  return text
    .split("\n\n")
    .filter((block) => block.startsWith("event: "))
    .map((block) => JSON.parse(block.slice(block.indexOf("\ndata: ") + "\ndata: ".length)) as Event);
}

describe("messages", () => {
  let engine: Engine;
  let app: ReturnType<typeof appOf>;
  before(async () => {
    engine = await startDemoEngine();
    app = appOf(engine);
  });
  after(() => engine.close());

  const post = (members: object = {}, path = "/v1/messages") =>
    supertest(app)
      .post(path)
      .send({ ...ask, ...members });
  const answer = async (members: object = {}) => (await post(members).expect(200)).body as Message;

  test("an answer is Anthropic's message, and its id is in a header of Anthropic's name", async () => {
    const response = await post().expect(200);
    const { id, usage, ...message } = response.body as Message & Record<string, unknown>;
    assert.match(id, /^msg_[0-9a-f]{32}$/);
    assert.deepEqual(message, {
      type: "message",
      role: "assistant",
      model: "aleph-tiny-chat",
      content: [{ type: "text", text: "This is a test." }],
      stop_reason: "end_turn",
      stop_sequence: null,
    });
    assert.ok(usage.output_tokens > 0);
    assert.equal(response.get("request-id"), response.get("x-request-id"));
  });

  test("cached tokens are told apart from the input, and both together are what is counted beforehand", async () => {
    await answer();
    const { usage } = await answer();
    assert.ok(usage.cache_read_input_tokens > 0);
    const { max_tokens: _limit, ...question } = ask;
    const { body } = await supertest(app).post("/v1/messages/count_tokens").send(question).expect(200);
    assert.deepEqual(body, { input_tokens: usage.input_tokens + usage.cache_read_input_tokens });
  });

  test("system text, blocks and cache_control are read, and mean what a string means", async () => {
    const cache_control = { type: "ephemeral" };
    const block = (text: string) => ({ type: "text", text, cache_control });
    const plain = await post({ system: "Be brief.", stream: false }, "/v1/messages/count_tokens").expect(200);
    const blocks = await post(
      {
        cache_control,
        system: [block("Be "), block("brief.")],
        messages: [{ role: "user", content: [block(SAY.slice(0, 5)), block(SAY.slice(5))] }],
      },
      "/v1/messages/count_tokens",
    ).expect(200);
    assert.deepEqual(blocks.body, plain.body);
    const without = await post({}, "/v1/messages/count_tokens").expect(200);
    assert.ok(
      (plain.body as { input_tokens: number }).input_tokens > (without.body as { input_tokens: number }).input_tokens,
    );
  });

  test("tools count as input", async () => {
    const tools = [{ name: "weather", description: "The weather of a city", input_schema: { type: "object" } }];
    const [bare, tooled] = await Promise.all(
      [{}, { tools }].map(
        async (members) =>
          (await post(members, "/v1/messages/count_tokens").expect(200)).body as { input_tokens: number },
      ),
    );
    assert.ok(tooled!.input_tokens > bare!.input_tokens);
  });

  test("an answer that the limit cuts says so", async () => {
    const message = await answer({ max_tokens: 2 });
    assert.deepEqual([message.stop_reason, message.usage.output_tokens], ["max_tokens", 2]);
  });

  test("llama.cpp's n_predict is a limit as on the other routes: it wins, and may be 0", async () => {
    for (const [n_predict, tokens] of [
      [2, 2],
      [0, 0],
    ]) {
      const response = await post({ n_predict }).expect(200);
      const { stop_reason, usage } = response.body as Message;
      assert.deepEqual([stop_reason, usage.output_tokens], ["max_tokens", tokens]);
      assert.equal(response.get("x-ignored-params"), undefined);
    }
    const { body } = await post({ n_predict: -2 }).expect(400);
    assert.match((body as { error: { message: string } }).error.message, /n_predict/);
  });

  test("a stop sequence ends the answer and is named; none of it is in the text", async () => {
    const message = await answer({ stop_sequences: ["nowhere", " a test"] });
    assert.deepEqual([message.stop_reason, message.stop_sequence], ["stop_sequence", " a test"]);
    assert.equal(textOf(message), "This is");
    const { text } = await post({ stop_sequences: [" a test"], stream: true }).expect(200);
    assert.deepEqual(eventsOf(text).at(-2)?.delta, { stop_reason: "stop_sequence", stop_sequence: " a test" });
  });

  test("a stream's deltas join to the same text; its events begin with the input's usage and end without [DONE]", async () => {
    const whole = await answer();
    const response = await post({ stream: true }).expect(200);
    assert.match(response.get("content-type") ?? "", /^text\/event-stream/);
    assert.ok(!response.text.includes("[DONE]"));
    const events = eventsOf(response.text).filter(({ type }) => type !== "ping");
    const types = events.map(({ type }) => type);
    assert.deepEqual(types.slice(0, 2), ["message_start", "content_block_start"]);
    assert.deepEqual(types.slice(-3), ["content_block_stop", "message_delta", "message_stop"]);
    assert.ok(types.slice(2, -3).every((type) => type === "content_block_delta"));
    assert.equal(events.map(({ delta }) => delta?.text ?? "").join(""), textOf(whole));
    const [start] = events;
    const end = events.at(-2);
    assert.equal(
      start!.message!.usage.input_tokens + start!.message!.usage.cache_read_input_tokens,
      end!.usage!.input_tokens + end!.usage!.cache_read_input_tokens,
    );
    assert.equal(end!.usage!.output_tokens, whole.usage.output_tokens);
  });

  test("the form of an answer is enforced by a schema", async () => {
    const schema = { type: "object", properties: { city: { enum: ["Paris", "Rome"] } }, required: ["city"] };
    const message = await answer({ output_config: { format: { type: "json_schema", schema } }, temperature: 1 });
    assert.equal(message.stop_reason, "end_turn");
    assert.ok(["Paris", "Rome"].includes((JSON.parse(textOf(message)) as { city: string }).city));
  });

  test("llama.cpp's sampling fields work here too, and what has no effect is reported", async () => {
    const grammar = 'root ::= "yes" | "no"';
    const response = await post({ grammar, seed: 3, top_k: 5, mirostat_tau: 4, whatever: 1 }).expect(200);
    assert.match(textOf(response.body as Message), /^(yes|no)$/);
    assert.equal(response.get("x-ignored-params"), "whatever");
    const thinking = await post({ thinking: { type: "enabled", budget_tokens: 1024 } }).expect(200);
    assert.equal(thinking.get("x-ignored-params"), "thinking.budget_tokens");
  });

  test("an unknown model is not found, and a prompt beyond the context is told in Anthropic's shape", async () => {
    const { body: missing } = await post({ model: "nobody" }).expect(404);
    assert.equal((missing as MessageError).error.type, "not_found_error");
    const long = [{ role: "user", content: "word ".repeat(20_000) }];
    const { body } = await post({ messages: long, stream: true }).expect(400);
    const { error, type } = body as MessageError;
    assert.deepEqual([type, error.type], ["error", "invalid_request_error"]);
    assert.match(error.message, /maximum context length/);
  });

  test("a thread is refused with the code that makes Anthropic's client send whole conversations", async () => {
    const { body } = await post({ thread: { type: "continue", previous_message_id: "msg_1" } }).expect(400);
    assert.deepEqual((body as MessageError).error.details, { error_code: "thread_unsupported_request" });
    await post({ thread: null }).expect(200);
  });

  const block = { type: "image", source: { type: "base64", media_type: "image/png", data: "" } };
  const tools = [{ name: "f", input_schema: { type: "object" } }];
  const refusals: readonly (readonly [what: string, members: object, param: string])[] = [
    ["no max_tokens", { max_tokens: undefined }, "max_tokens"],
    ["max_tokens of 0", { max_tokens: 0 }, "max_tokens"],
    ["no messages", { messages: undefined }, "messages"],
    ["an empty list of messages", { messages: [] }, "messages"],
    ["another role", { messages: [{ role: "system", content: "x" }] }, "messages[0].role"],
    ["content that is a number", { messages: [{ role: "user", content: 3 }] }, "messages[0].content"],
    ["an image", { messages: [{ role: "user", content: [block] }] }, "messages[0].content[0].type"],
    [
      "an image in a result",
      { messages: [{ role: "user", content: [{ type: "tool_result", tool_use_id: "t", content: [block] }] }] },
      "messages[0].content[0].content[0].type",
    ],
    [
      "a result without its use",
      { messages: [{ role: "user", content: [{ type: "tool_result" }] }] },
      "messages[0].content[0].tool_use_id",
    ],
    [
      "a use whose input is text",
      { messages: [{ role: "assistant", content: [{ type: "tool_use", id: "t", name: "f", input: "{}" }] }] },
      "messages[0].content[0].input",
    ],
    ["a temperature above 1", { temperature: 1.5 }, "temperature"],
    ["top_p above 1", { top_p: 1.5 }, "top_p"],
    ["top_k that is text", { top_k: "5" }, "top_k"],
    ["stop_sequences that are text", { stop_sequences: "x" }, "stop_sequences"],
    ["system that is a number", { system: 1 }, "system"],
    ["a tool without a schema", { tools: [{ name: "f" }] }, "tools[0].input_schema"],
    ["a tool with a bad name", { tools: [{ name: "a b", input_schema: {} }] }, "tools[0].name"],
    ["two tools of a name", { tools: [...tools, ...tools] }, "tools[1].name"],
    ["a tool of Anthropic's own", { tools: [{ type: "bash_20250124", name: "bash" }] }, "tools[0].type"],
    ["a choice of another kind", { tools, tool_choice: { type: "required" } }, "tool_choice.type"],
    ["a choice of a tool that is not there", { tools, tool_choice: { type: "tool", name: "g" } }, "tool_choice.name"],
    ["a choice of a tool without its name", { tools, tool_choice: { type: "tool" } }, "tool_choice.name"],
    ["a choice without tools", { tool_choice: { type: "any" } }, "tool_choice"],
    ["a grammar beside tools", { tools, grammar: 'root ::= "x"' }, "grammar"],
    ["thinking of another kind", { thinking: { type: "maybe" } }, "thinking.type"],
    [
      "a format that is no schema",
      { output_config: { format: { type: "json_schema", schema: 3 } } },
      "output_config.format.schema",
    ],
    [
      "a grammar beside a format",
      { grammar: 'root ::= "x"', output_config: { format: { type: "json_schema", schema: {} } } },
      "grammar",
    ],
    ["stream that is text", { stream: "yes" }, "stream"],
    ["a thread", { thread: { type: "create" } }, "thread"],
  ];
  for (const [what, members, param] of refusals) {
    test(`${what} is refused, and the message names ${param}`, async () => {
      const { body, headers } = await post(members).expect(400);
      const { type, error, request_id: requestId } = body as MessageError;
      assert.deepEqual(Object.keys(body as object), ["type", "error", "request_id"]);
      assert.deepEqual([type, error.type], ["error", "invalid_request_error"]);
      assert.ok(error.message.includes(`'${param}'`), error.message);
      assert.equal(requestId, (headers as Record<string, string>)["request-id"]);
    });
  }
});

test("every refusal below /v1/messages has Anthropic's shape, whoever makes it", async () => {
  const app = appOf(new FakeEngine(), { bodyLimitBytes: 1000 });
  const send = supertest(app);
  const kinds: readonly (readonly [number, string, supertest.Test])[] = [
    [400, "invalid_request_error", send.post("/v1/messages").set("content-type", "application/json").send("{")],
    [404, "not_found_error", send.get("/v1/messages/batches")],
    [405, "invalid_request_error", send.get("/v1/messages")],
    [413, "request_too_large", send.post("/v1/messages").send({ ...ask, system: "x".repeat(2000) })],
    [415, "invalid_request_error", send.post("/v1/messages").set("content-type", "text/xml").send("<a/>")],
  ];
  for (const [status, type, request] of kinds) {
    const response = await request;
    const { error, request_id: requestId } = response.body as MessageError;
    assert.deepEqual([response.status, error.type, requestId], [status, type, response.get("request-id")]);
  }
  const locked = appOf(new FakeEngine(), {
    apiKeyHashes: [parseSha256(createHash("sha256").update("key").digest("hex"))],
  });
  const refused = await supertest(locked).post("/v1/messages").set("x-api-key", "other").send(ask).expect(401);
  assert.equal((refused.body as MessageError).error.type, "authentication_error");
  await supertest(locked)
    .post("/v1/messages")
    .set("x-api-key", "key")
    .send({ ...ask, model: "tiny" })
    .expect(200);
  const busy = appOf(new FakeEngine({ refusal: new CodedError("rate_limit_exceeded", "The queue is full.") }));
  const waiting = await supertest(busy)
    .post("/v1/messages")
    .send({ ...ask, model: "tiny" })
    .expect(429);
  assert.equal((waiting.body as MessageError).error.type, "rate_limit_error");
  assert.ok(Number(waiting.get("retry-after")) > 0);
});

test("a fault in the middle of a stream is its last event", async () => {
  const script = [...saying("Hel").slice(0, 2), new CodedError("shutting_down", "The server stops.")];
  const { text } = await supertest(appOf(new FakeEngine({ script })))
    .post("/v1/messages")
    .send({ ...ask, model: "tiny", stream: true })
    .expect(200);
  const events = eventsOf(text);
  assert.deepEqual([events.at(-1)?.type, events.at(-1)?.error?.type], ["error", "overloaded_error"]);
});

test("a silent stream is sent pings of Anthropic's kind", async () => {
  const [started, ...rest] = saying("Hello");
  const { text } = await supertest(appOf(new FakeEngine({ script: [started!, 1500, ...rest] })))
    .post("/v1/messages")
    .send({ ...ask, model: "tiny", stream: true, sse_ping_interval: 1 })
    .expect(200);
  assert.equal(eventsOf(text)[0]?.type, "ping");
});

for (const stream of [true, false]) {
  test(
    `a client that leaves ends its ${stream ? "stream" : "whole message"}`,
    { skip: skipWithoutStreams },
    async (t) => {
      const engine = new FakeEngine({ script: [...saying("Hel").slice(0, 2), 60_000] });
      const { url } = await listen(t, appOf(engine));
      const leave = new AbortController();
      const body = JSON.stringify({ ...ask, model: "tiny", stream });
      const answered = fetch(`${url}/v1/messages`, { method: "POST", body, signal: leave.signal });
      answered.catch(() => undefined);
      if (stream) await (await answered).body!.getReader().read();
      while (engine.taken < 2) await sleep(5);
      leave.abort();
      await engine.aborted;
    },
  );
}
