/** Responses that run while their readers come, go, read slowly, or while the server stops. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { describe, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import supertest from "supertest";

import { Lifecycle } from "../../src/server/lifecycle.ts";
import { whenIdle } from "../support/api-fuzz.ts";
import { startDemoEngine } from "../support/demo-engine.ts";
import { FakeEngine, saying } from "../support/fake-engine.ts";
import { appOf, listen } from "../support/server.ts";
import { skipWithoutStreams } from "../support/through-network.ts";

const SAY = "Say this is a test";
const STORY = { input: "Tell me a story about a fox named Ada.", max_output_tokens: 1500, ignore_eos: true };

interface Event {
  readonly type: string;
  readonly code?: string;
  readonly response?: { readonly status: string; readonly error: { readonly code: string } | null };
}

/** The app over the real engine, which the test may close itself. */
async function start(t: TestContext) {
  const engine = await startDemoEngine();
  t.after(() => engine.close());
  const lifecycle = new Lifecycle();
  const app = appOf(engine, { lifecycle });
  const { url } = await listen(t, app);
  const create = async (body: object) => {
    const { body: response } = await supertest(app).post("/v1/responses").send(body).expect(200);
    return (response as { id: string }).id;
  };
  return { engine, lifecycle, app, url, create };
}

describe("responses in the background", () => {
  test(
    "one that runs at shutdown fails with an error that its stream ends with, and that is kept",
    { skip: skipWithoutStreams },
    async (t) => {
      const { engine, url, app, create } = await start(t);
      const id = await create({ ...STORY, background: true });
      const stream = await fetch(`${url}/v1/responses/${id}?stream=true`);
      await engine.close();
      const events = (await stream.text())
        .split("\n\n")
        .filter((block) => block !== "")
        .map((block) => JSON.parse(block.slice(block.indexOf("data: ") + "data: ".length)) as Event);
      const [failed, error] = events.slice(-2);
      assert.deepEqual([failed?.type, failed?.response?.status], ["response.failed", "failed"]);
      assert.deepEqual([error?.type, error?.code], ["error", failed?.response?.error?.code]);
      assert.match(String(error?.code), /^\w+$/);
      const { body } = await supertest(app).get(`/v1/responses/${id}`).expect(200);
      assert.deepEqual([body.status, body.error.code], ["failed", error?.code]);
      const { body: page } = await supertest(app).get(`/v1/responses/${id}/events`).expect(200);
      assert.deepEqual([page.done, page.status], [true, "failed"]);
    },
  );

  test("a long poll ends when the server begins to shut down, with what there is", async (t) => {
    const { engine, lifecycle, url, create } = await start(t);
    // All slots are taken, so that no event comes.
    const ids = await Promise.all(Array.from({ length: 5 }, () => create({ ...STORY, background: true })));
    const waiting = ids.at(-1)!;
    const begun = performance.now();
    const poll = fetch(`${url}/v1/responses/${waiting}/events?starting_after=1&wait=25`);
    await sleep(100);
    const drained = lifecycle.drain(20_000);
    const page = (await (await poll).json()) as { done: boolean; status: string };
    assert.equal(page.done, false);
    assert.ok(["queued", "in_progress"].includes(page.status));
    assert.equal(await drained, true);
    assert.ok(performance.now() - begun < 15_000);
    await engine.close();
  });

  test("one that still runs cannot be followed; once cancelled it can", async (t) => {
    const { app, create } = await start(t);
    const id = await create({ ...STORY, background: true });
    for (const path of ["/v1/responses", "/v1/responses/input_tokens"]) {
      const { body } = await supertest(app).post(path).send({ input: "a", previous_response_id: id }).expect(400);
      assert.deepEqual([body.error.code, body.error.param], ["invalid_value", "previous_response_id"]);
      assert.match(body.error.message, /in_progress/);
    }
    await supertest(app).post(`/v1/responses/${id}/cancel`).expect(200);
    await create({ input: "a", previous_response_id: id, max_output_tokens: 2 });
  });

  test("its tokens are counted in the metrics, once, whether anybody waits for it or not", async (t) => {
    const { app, engine, create } = await start(t);
    const predicted = async () => {
      const { text } = await supertest(app).get("/metrics");
      return Number(/^llamacpp:tokens_predicted_total (\d+)$/m.exec(text)?.[1]);
    };
    assert.equal(await predicted(), 0);
    const body = { ...STORY, max_output_tokens: 20, temperature: 0 };
    await create({ ...body, background: true });
    await whenIdle(engine);
    for (let tries = 0; (await predicted()) === 0 && tries < 100; tries++) await sleep(20);
    assert.equal(await predicted(), 20);
    await create(body);
    assert.equal(await predicted(), 40);
    await supertest(app)
      .post("/v1/responses")
      .send({ ...body, background: true, stream: true })
      .expect(200);
    assert.equal(await predicted(), 60);
  });

  test("the input that truncation leaves is what is counted", async (t) => {
    const { app } = await start(t);
    const input = Array.from("abcdef").map((letter) => ({ role: "user", content: `${letter} `.repeat(600) }));
    const body = { input: [...input, { role: "user", content: SAY }], truncation: "auto", max_output_tokens: 1 };
    const { body: counted } = await supertest(app).post("/v1/responses/input_tokens").send(body).expect(200);
    const { body: response } = await supertest(app).post("/v1/responses").send(body).expect(200);
    assert.equal(counted.input_tokens, response.usage.input_tokens);
    const all = { ...body, truncation: "disabled" };
    const { body: whole } = await supertest(app).post("/v1/responses/input_tokens").send(all).expect(200);
    assert.ok(whole.input_tokens > 2048);
  });

  test("a client that reads a long replay slowly gets all of it", async (t) => {
    const pieces = Array.from({ length: 400 }, (_, index) => `${index}${"x".repeat(32 * 1024)}`);
    const app = appOf(new FakeEngine({ script: saying(...pieces) }));
    const { port } = await listen(t, app);
    const { body } = await supertest(app).post("/v1/responses").send({ input: "a", background: true }).expect(200);
    await supertest(app).get(`/v1/responses/${body.id}/events?wait=25&starting_after=400`).expect(200);
    const socket = connect(port, "127.0.0.1");
    t.after(() => socket.destroy());
    socket.write(`GET /v1/responses/${body.id}?stream=true HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    let text = "";
    for await (const chunk of socket) {
      text += String(chunk);
      if (text.length % 5 === 0) await sleep(1);
    }
    assert.ok(text.length > 3 * 400 * 32 * 1024, `${text.length} characters`);
    assert.equal(text.match(/^event: response\.output_text\.delta$/gm)?.length, 400);
    assert.match(text, /event: response\.completed\n/);
  });
});
