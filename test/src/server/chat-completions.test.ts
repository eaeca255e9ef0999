import assert from "node:assert/strict";
import { test } from "node:test";
import supertest from "supertest";

import { CodedError } from "../../../src/domain/errors.ts";
import { done, FakeEngine, saying, type Script } from "../../support/fake-engine.ts";
import { appOf, eventsIn } from "../../support/server.ts";

const ask = { messages: [{ role: "user", content: "Hi" }] };
const PATH = "/v1/chat/completions";

interface Chunk {
  readonly choices: { index: number; delta: Record<string, unknown>; finish_reason: string | null }[];
  readonly usage?: unknown;
}

function postTo(script: Script, body: object = ask) {
  return supertest(appOf(new FakeEngine({ script })))
    .post(PATH)
    .send(body);
}

test("an answer has the served model's id, its text and its counts", async () => {
  const { body, headers } = await postTo(saying("Hel", "lo 👋")).expect(200);
  assert.match(body.id, /^chatcmpl-/);
  assert.equal(body.model, "tiny");
  assert.equal(body.system_fingerprint, "fp_test");
  assert.ok(Math.abs(body.created - Date.now() / 1000) < 5);
  assert.equal(body.choices[0].message.content, "Hello 👋");
  assert.equal(body.usage.total_tokens, 5);
  assert.equal(headers["content-type"], "application/json; charset=utf-8");
  assert.match(headers["openai-processing-ms"] ?? "", /^\d+$/);
});

test("a stream gives the role once, the reason alone, the usage last, then [DONE]", async () => {
  const body = { ...ask, stream: true, stream_options: { include_usage: true } };
  const { text, headers } = await postTo(saying("Hel", "lo"), body).expect(200);
  const events = eventsIn(text);
  assert.equal(events.pop(), "[DONE]");
  const chunks = events.map((event) => JSON.parse(event) as Chunk);
  assert.deepEqual(
    chunks.map(({ choices }) => choices.map(({ delta, finish_reason: reason }) => [delta, reason])),
    [
      [[{ role: "assistant", content: "", refusal: null }, null]],
      [[{ content: "Hel" }, null]],
      [[{ content: "lo" }, null]],
      [[{}, "stop"]],
      [],
    ],
  );
  assert.deepEqual(
    chunks.map(({ usage }) => usage === null),
    [true, true, true, true, false],
  );
  assert.equal(headers["content-type"], "text/event-stream; charset=utf-8");
  assert.equal(headers["cache-control"], "no-cache, no-transform");
  assert.equal(headers["x-accel-buffering"], "no");
  assert.equal(headers["access-control-allow-origin"], "*");
});

test("choices of one request may be interleaved and each ends once", async () => {
  const script: Script = [
    { type: "started" },
    { type: "text", choice: 1, text: "b" },
    { type: "text", choice: 0, text: "a" },
    { type: "finish", choice: 1, reason: "length" },
    { type: "text", choice: 0, text: "A" },
    { type: "finish", choice: 0, reason: "stop" },
    done(3),
  ];
  const { body } = await postTo(script, { ...ask, n: 2 }).expect(200);
  assert.deepEqual(
    body.choices.map((choice: { message: { content: string }; finish_reason: string }) => [
      choice.message.content,
      choice.finish_reason,
    ]),
    [
      ["aA", "stop"],
      ["b", "length"],
    ],
  );
  const { text } = await postTo(script, { ...ask, n: 2, stream: true }).expect(200);
  const choices = eventsIn(text)
    .slice(0, -1)
    .map((event) => (JSON.parse(event) as Chunk).choices[0]!);
  assert.deepEqual(
    choices.map(({ index, delta, finish_reason: reason }) => [index, delta["content"] ?? reason]),
    [
      [0, ""],
      [1, ""],
      [1, "b"],
      [0, "a"],
      [1, "length"],
      [0, "A"],
      [0, "stop"],
    ],
  );
});

test("an error before the first step is a plain answer with its status, also for a stream", async () => {
  const refusal = new CodedError("context_length_exceeded", "Too long.", {
    param: "messages",
    details: { n_prompt_tokens: 5000, n_ctx: 4096 },
  });
  for (const stream of [false, true]) {
    const refusing = supertest(appOf(new FakeEngine({ refusal })));
    const { body } = await refusing
      .post(PATH)
      .send({ ...ask, stream })
      .expect(400);
    assert.equal(body.error.code, "context_length_exceeded");
    assert.equal(body.error.n_prompt_tokens, 5000);

    const late = await postTo([refusal], { ...ask, stream }).expect(400);
    assert.equal(late.body.error.code, "context_length_exceeded");
  }
});

test("an error in the middle of a stream is its last event, without [DONE]", async () => {
  const script: Script = [
    { type: "started" },
    { type: "text", choice: 0, text: "Hel" },
    new CodedError("shutting_down", "Stopping."),
  ];
  const { text } = await postTo(script, { ...ask, stream: true }).expect(200);
  const events = eventsIn(text);
  assert.equal(events.length, 3);
  assert.deepEqual(JSON.parse(events[2]!), {
    error: { message: "Stopping.", type: "unavailable_error", param: null, code: "shutting_down" },
  });
  await postTo(script).expect(503).expect("Retry-After", /^\d+$/);
});

test("a fault in the engine is a 500 that says nothing of its cause, and is logged", async () => {
  const logged: string[] = [];
  const app = appOf(new FakeEngine({ script: [{ type: "started" }, new Error("native secret")] }), {
    log: (event, data) => logged.push(JSON.stringify({ event, ...data })),
  });
  const { body } = await supertest(app).post(PATH).send(ask).expect(500);
  assert.equal(body.error.type, "server_error");
  assert.doesNotMatch(JSON.stringify(body), /secret/);
  const { text } = await supertest(app)
    .post(PATH)
    .send({ ...ask, stream: true })
    .expect(200);
  assert.match(text, /"server_error"/);
  assert.doesNotMatch(text, /secret|\[DONE\]/);
  assert.equal(logged.filter((line) => line.includes("native secret")).length, 2);
});

test("a full queue is 429 with Retry-After", async () => {
  const app = appOf(new FakeEngine({ refusal: new CodedError("rate_limit_exceeded", "Busy.") }));
  const { body } = await supertest(app).post(PATH).send(ask).expect(429).expect("Retry-After", /^\d+$/);
  assert.equal(body.error.type, "rate_limit_error");
});

test("the model is known by its id, its aliases and no name at all; others are 404", async () => {
  const app = appOf(new FakeEngine());
  for (const model of ["tiny", "tiny-alias", "", null]) {
    const { body } = await supertest(app)
      .post(PATH)
      .send({ ...ask, model })
      .expect(200);
    assert.equal(body.model, "tiny");
  }
  const { body } = await supertest(app)
    .post(PATH)
    .send({ ...ask, model: "gpt-4o" })
    .expect(404);
  assert.deepEqual([body.error.code, body.error.param], ["model_not_found", "model"]);
  await supertest(appOf(new FakeEngine(), { anyModel: true }))
    .post(PATH)
    .send({ ...ask, model: "gpt-4o" })
    .expect(200);
});

test("the engine gets the messages and the settings of the request", async () => {
  const engine = new FakeEngine();
  await supertest(appOf(engine))
    .post(PATH)
    .send({ messages: [{ role: "user", content: "grüße 👋 <|im_end|>" }], temperature: 0, max_tokens: 5, seed: 7 })
    .expect(200);
  const [request] = engine.requests;
  const messages = [{ role: "user", content: "grüße 👋 <|im_end|>" }];
  assert.deepEqual(request?.prompt, { kind: "chat", ending: "answer", variables: {}, messages });
  assert.deepEqual([request?.maxTokens, request?.sampling.temperature, request?.sampling.seed], [5, 0, 7n]);
});

test("members without effect are reported, whatever their names hold", async () => {
  const { headers } = await postTo(saying("a"), { ...ask, foo: 1, "bad\r\nname, 👋": 2 }).expect(200);
  assert.equal(headers["x-ignored-params"], "foo, bad??name????");
  const plain = await postTo(saying("a")).expect(200);
  assert.equal(plain.headers["x-ignored-params"], undefined);
});

test("silence in a stream is filled with comments", async () => {
  const script: Script = [{ type: "started" }, 1300, ...saying("a").slice(1)];
  const { text } = await postTo(script, { ...ask, stream: true, sse_ping_interval: 1 }).expect(200);
  assert.equal(text.match(/^: ping\n\n/gm)?.length, 1);
  assert.equal(eventsIn(text).at(-1), "[DONE]");
});

test("nothing of a prompt or an answer is logged", async () => {
  const logged: unknown[] = [];
  const app = appOf(new FakeEngine({ script: saying("secret") }), { log: (event, data) => logged.push([event, data]) });
  await supertest(app)
    .post(PATH)
    .send({ messages: [{ role: "user", content: "secret" }], stream: true });
  await supertest(app)
    .post(PATH)
    .send({ messages: [{ role: "secret", content: "secret" }] });
  assert.equal(logged.length, 2);
  assert.doesNotMatch(JSON.stringify(logged), /secret/);
  assert.match(JSON.stringify(logged), /"route":"\/v1\/chat\/completions","status":200,.*"completionTokens":1/);
});
