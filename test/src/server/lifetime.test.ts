import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import supertest from "supertest";

import { CodedError } from "../../../src/domain/errors.ts";
import type { GenerationStep } from "../../../src/domain/generation.ts";
import { Lifecycle } from "../../../src/server/lifecycle.ts";
import { FakeEngine, saying, type Script } from "../../support/fake-engine.ts";
import { appOf, listen } from "../../support/server.ts";

const CHAT = "/v1/chat/completions";
const messages = [{ role: "user", content: "Hi" }];
const forever: Script = [
  { type: "started" },
  { type: "text", choice: 0, text: "Hel" },
  60_000,
  ...saying("lo").slice(1),
];

function rawPost(body: object): string {
  const text = JSON.stringify(body);
  return `POST ${CHAT} HTTP/1.1\r\nHost: a\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
}

/** A promise for the test to keep. */
class Deferred {
  resolve!: () => void;
  readonly promise = new Promise<void>((resolve) => {
    this.resolve = resolve;
  });
}

test("while the model loads, health says so and requests wait for it", async () => {
  const { promise, resolve } = new Deferred();
  const app = appOf(new FakeEngine({ ready: promise }), { loadWaitMs: 5_000 });
  for (const path of ["/health", "/v1/health"]) {
    const { body } = await supertest(app).get(path).expect(503).expect("Retry-After", /^\d+$/);
    assert.deepEqual(body.error, {
      progress: 0.42,
      message: "Loading model",
      type: "unavailable_error",
      param: null,
      code: "model_loading",
    });
  }
  const { body: index } = await supertest(app).get("/").accept("application/json").expect(200);
  assert.equal(index.model, null);
  const answers = Promise.all([supertest(app).post(CHAT).send({ messages }), supertest(app).get("/v1/models")]);
  await sleep(50);
  resolve();
  for (const { status } of await answers) assert.equal(status, 200);
  await supertest(app).get("/health").expect(200, { status: "ok" });
});

test("a request that waited too long for the model is 503 with Retry-After, streams too", async () => {
  const app = appOf(new FakeEngine({ ready: new Promise(() => undefined) }), { loadWaitMs: 20 });
  for (const stream of [false, true]) {
    const { body } = await supertest(app)
      .post(CHAT)
      .send({ messages, stream })
      .expect(503)
      .expect("Retry-After", /^\d+$/);
    assert.equal(body.error.code, "model_loading");
  }
  await supertest(app).get("/v1/models").expect(503);
  await supertest(app).post(CHAT).send({ messages: [] }).expect(400);
});

test("after a failed load every request is a server error that says so plainly", async () => {
  const failure = new CodedError("model_load_failed", "cannot read /models/0/tiny.gguf");
  const app = appOf(new FakeEngine({ ready: Promise.reject(failure) }));
  for (const answer of [
    await supertest(app).post(CHAT).send({ messages }).expect(500),
    await supertest(app).get("/v1/models").expect(500),
    await supertest(app).get("/health").expect(500),
  ]) {
    assert.equal(answer.body.error.type, "server_error");
    assert.match(answer.body.error.message, /could not be loaded/);
    assert.doesNotMatch(answer.body.error.message, /gguf/);
  }
});

test("a client that leaves ends the computation, whether it streams or not, before the first step or after", async (t) => {
  for (const script of [forever, [60_000, ...forever] satisfies Script]) {
    for (const stream of [true, false]) {
      const engine = new FakeEngine({ script });
      const { port } = await listen(t, appOf(engine));
      const socket = connect(port, "127.0.0.1");
      socket.write(rawPost({ messages, stream }));
      if (stream && script === forever) await once(socket, "data");
      else while (engine.requests.length === 0) await sleep(5);
      socket.destroy();
      await engine.aborted;
    }
  }
});

test("a client that leaves while the model loads never reaches the engine", async (t) => {
  const { promise, resolve } = new Deferred();
  const engine = new FakeEngine({ ready: promise });
  const logged: unknown[] = [];
  const { port } = await listen(
    t,
    appOf(engine, { loadWaitMs: 5_000, log: (_event, data) => logged.push(data?.["status"]) }),
  );
  const socket = connect(port, "127.0.0.1");
  socket.write(rawPost({ messages }));
  await sleep(50);
  socket.destroy();
  while (logged.length === 0) await sleep(5);
  resolve();
  await sleep(20);
  assert.deepEqual(logged, [499]);
  assert.equal(engine.requests.length, 0);
});

test("a client that leaves in the middle of its request is logged as that", async (t) => {
  const { promise, resolve } = new Deferred();
  const logged: unknown[] = [];
  const log = (event: string, data: Readonly<Record<string, unknown>> = {}) => {
    logged.push([event, data["status"]]);
    if (event === "request") resolve();
  };
  const { port } = await listen(t, appOf(new FakeEngine(), { log }));
  const socket = connect(port, "127.0.0.1");
  socket.write(rawPost({ messages }).slice(0, -5));
  await sleep(50);
  socket.destroy();
  await promise;
  await sleep(10);
  assert.deepEqual(logged, [["request", 499]]);
});

test("a finished request is not reported to the engine as left", async (t) => {
  const engine = new FakeEngine();
  const { url } = await listen(t, appOf(engine));
  const body = JSON.stringify({ messages, stream: true });
  const answer = await fetch(url + CHAT, { method: "POST", body });
  assert.match(await answer.text(), /\[DONE\]/);
  const left = await Promise.race([engine.aborted.then(() => true), sleep(50).then(() => false)]);
  assert.equal(left, false);
});

test("a client that does not read is dropped when too much waits for it, and the engine was never held up", async (t) => {
  const text = "x".repeat(64 * 1024);
  const flood = Array.from({ length: 2000 }, (): GenerationStep => ({ type: "text", choice: 0, text }));
  const engine = new FakeEngine({ script: [{ type: "started" }, ...flood.flatMap((step) => [step, 0])] });
  const { port } = await listen(t, appOf(engine));
  const socket = connect(port, "127.0.0.1");
  t.after(() => socket.destroy());
  socket.on("error", () => undefined);
  socket.pause();
  socket.write(rawPost({ messages, stream: true }));
  await engine.aborted;
  assert.ok(engine.taken > 64 && engine.taken < 1500, `${engine.taken} steps`);
});

test("steps that are there at once leave in few writes", async (t) => {
  const pieces = Array.from({ length: 500 }, (_, index) => `${index} `);
  const { server, url } = await listen(t, appOf(new FakeEngine({ script: saying(...pieces) })));
  let writes = 0;
  server.on("request", (_req, res) => {
    const write = res.write.bind(res);
    res.write = ((chunk: string) => {
      writes += 1;
      return write(chunk);
    }) as typeof res.write;
  });
  const answer = await fetch(url + CHAT, { method: "POST", body: JSON.stringify({ messages, stream: true }) });
  assert.equal((await answer.text()).match(/"content":"\d+ "/g)?.length, 500);
  assert.ok(writes < 10, `${writes} writes`);
});

test("the first chunk arrives while the rest is still being made", async (t) => {
  const engine = new FakeEngine({ script: forever });
  const { url } = await listen(t, appOf(engine));
  const answer = await fetch(url + CHAT, { method: "POST", body: JSON.stringify({ messages, stream: true }) });
  const reader = answer.body!.getReader();
  const { value } = await reader.read();
  assert.match(Buffer.from(value).toString(), /"role":"assistant"/);
  await reader.cancel();
  await engine.aborted;
});

test("while draining, new requests are 503 with Retry-After and running ones finish", async (t) => {
  const { promise, resolve } = new Deferred();
  const lifecycle = new Lifecycle();
  const engine = new FakeEngine({ script: [{ type: "started" }, promise, ...saying("done").slice(1)] });
  const { url } = await listen(t, appOf(engine, { lifecycle }));
  const running = fetch(url + CHAT, { method: "POST", body: JSON.stringify({ messages, stream: true }) });
  while (engine.taken === 0) await sleep(5);
  const drained = lifecycle.drain(5_000);
  for (const path of ["/v1/models", "/health"]) {
    const refused = await fetch(url + path);
    assert.equal(refused.status, 503);
    assert.match(refused.headers.get("retry-after") ?? "", /^\d+$/);
    assert.match(await refused.text(), /"shutting_down"/);
  }
  resolve();
  assert.equal(await drained, true);
  assert.match(await (await running).text(), /"done".*\[DONE\]/s);
});

test("draining ends after its limit, and at once when nothing runs", async (t) => {
  assert.equal(await new Lifecycle().drain(60_000), true);
  const lifecycle = new Lifecycle();
  const engine = new FakeEngine({ script: forever });
  const { url } = await listen(t, appOf(engine, { lifecycle }));
  const running = await fetch(url + CHAT, { method: "POST", body: JSON.stringify({ messages, stream: true }) });
  assert.equal(await lifecycle.drain(30), false);
  await running.body!.cancel();
});
