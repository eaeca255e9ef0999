import assert from "node:assert/strict";
import { test } from "node:test";
import supertest from "supertest";

import { FakeEngine } from "../../support/fake-engine.ts";
import { appOf } from "../../support/server.ts";

/** Above what Anthropic's clients may ask for: a model's own is not a client's. */
const sampling = { temperature: 1.5, top_p: 0.8, top_k: 20, min_p: 0, repeat_penalty: 1.05 };
const defaults = { sampling, systemPrompt: "You are a lighthouse." };
const messages = [{ role: "user", content: "Hello" }];

const ROUTES = [
  ["/v1/chat/completions", { messages }],
  ["/v1/completions", { prompt: "Hello" }],
  ["/completion", { prompt: "Hello" }],
  ["/infill", { input_prefix: "He", input_suffix: "lo" }],
  ["/v1/responses", { input: "Hello" }],
  ["/v1/messages", { messages, max_tokens: 5 }],
] as const;

for (const [path, body] of ROUTES) {
  test(`${path}: what a request leaves out is the model's own, and what it gives is the request's`, async () => {
    const engine = new FakeEngine();
    const app = appOf(engine, { defaults });
    await supertest(app)
      .post(path)
      .send({ ...body, top_k: null })
      .expect(200);
    await supertest(app)
      .post(path)
      .send({ ...body, temperature: 0.5, top_k: 7 })
      .expect(200);
    const [silent, asking] = engine.requests.map((request) => request.sampling);
    const own = { temperature: 1.5, topP: 0.8, topK: 20, minP: 0, repeatPenalty: 1.05 };
    for (const [name, value] of Object.entries(own)) assert.equal(silent?.[name as keyof typeof own], value, name);
    assert.deepEqual([asking?.temperature, asking?.topK, asking?.topP], [0.5, 7, 0.8]);
    // What nobody recommends stays the server's.
    assert.equal(silent?.repeatLastN, 64);
  });
}

for (const [path, body, system] of [
  ["/v1/chat/completions", { messages }, { messages: [{ role: "system", content: "Mine" }, ...messages] }],
  ["/v1/chat/completions", { messages }, { messages: [{ role: "developer", content: "Mine" }, ...messages] }],
  ["/v1/responses", { input: "Hello" }, { input: "Hello", instructions: "Mine" }],
  ["/v1/messages", { messages, max_tokens: 5 }, { messages, max_tokens: 5, system: "Mine" }],
] as const) {
  test(`${path}: a chat without a system message gets the model's own, another keeps its: ${JSON.stringify(system)}`, async () => {
    const engine = new FakeEngine();
    const app = appOf(engine, { defaults });
    await supertest(app).post(path).send(body).expect(200);
    await supertest(app).post(path).send(system).expect(200);
    const seen = engine.requests.map(({ prompt }) => (prompt.kind === "chat" ? prompt.messages : []));
    assert.deepEqual(
      seen.map((chat) => chat.filter(({ role }) => role === "system").map(({ content }) => content)),
      [["You are a lighthouse."], ["Mine"]],
    );
    assert.deepEqual(
      seen.map((chat) => chat.at(-1)?.content),
      ["Hello", "Hello"],
    );
  });
}

test("the text that is counted and shown is the text that is generated from", async () => {
  const app = appOf(new FakeEngine(), { defaults });
  const shown = await supertest(app).post("/apply-template").send({ messages }).expect(200);
  assert.equal(shown.body.prompt, "You are a lighthouse.\nHello");
  const text = await supertest(appOf(new FakeEngine())).post("/apply-template").send({ messages }).expect(200);
  assert.equal(text.body.prompt, "Hello");
});

test("props tell the model's own values", async () => {
  const { body } = await supertest(appOf(new FakeEngine(), { defaults })).get("/props").expect(200);
  const { params } = body.default_generation_settings;
  assert.deepEqual(
    [params.temperature, params.top_p, params.top_k, params.min_p, params.repeat_penalty, params.repeat_last_n],
    [1.5, 0.8, 20, 0, 1.05, 64],
  );
  assert.equal(body.system_prompt, "You are a lighthouse.");
  const plain = await supertest(appOf(new FakeEngine())).get("/props").expect(200);
  assert.equal(plain.body.system_prompt, "");
});

test("a response tells the values that it was made with", async () => {
  const { body } = await supertest(appOf(new FakeEngine(), { defaults }))
    .post("/v1/responses")
    .send({ input: "Hello" })
    .expect(200);
  assert.deepEqual([body.temperature, body.top_p, body.instructions], [1.5, 0.8, null]);
});
