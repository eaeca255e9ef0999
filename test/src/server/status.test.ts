import assert from "node:assert/strict";
import { test } from "node:test";
import supertest from "supertest";

import { FakeEngine } from "../../support/fake-engine.ts";
import { appOf } from "../../support/server.ts";

const ask = { messages: [{ role: "user", content: "secret" }] };
const free = { id: 0, busy: false, cachedTokens: 7 };
const busy = { id: 1, busy: true, cachedTokens: 9 };

test("props tell the defaults, the template and the file's name, never its folder", async () => {
  const app = appOf(new FakeEngine({ slots: [free, busy] }));
  const { body } = await supertest(app).get("/props").expect(200);
  assert.equal(body.total_slots, 2);
  assert.equal(body.model_alias, "tiny");
  assert.equal(body.model_path, "tiny.gguf");
  assert.equal(body.chat_template, "{{ messages }}");
  assert.deepEqual([body.bos_token, body.eos_token], ["<s>", "</s>"]);
  assert.deepEqual(body.modalities, { vision: false, audio: false });
  assert.equal(body.is_sleeping, false);
  const { params, n_ctx: contextLength } = body.default_generation_settings;
  assert.deepEqual([params.temperature, params.top_k, contextLength], [0.8, 40, 4096]);
  const refused = await supertest(app).post("/props").send({}).expect(501);
  assert.equal(refused.body.error.type, "not_supported_error");
  await supertest(app).head("/props").expect(200);
  await supertest(app).delete("/props").expect(405).expect("Allow", "GET, HEAD, POST, OPTIONS");
});

test("slots say which are busy, and nothing of their texts", async () => {
  const app = appOf(new FakeEngine({ slots: [free, busy] }));
  const { body } = await supertest(app).get("/slots?fail_on_no_slot=1").expect(200);
  assert.deepEqual(
    body.map((slot: { id: number; is_processing: boolean; n_ctx: number }) => [
      slot.id,
      slot.is_processing,
      slot.n_ctx,
    ]),
    [
      [0, false, 4096],
      [1, true, 4096],
    ],
  );
  assert.equal("prompt" in body[0], false);
});

test("slots are 503 when all are busy and a free one was asked for", async () => {
  const app = appOf(new FakeEngine({ slots: [busy] }));
  await supertest(app).get("/slots").expect(200);
  const { body } = await supertest(app).get("/slots?fail_on_no_slot=1").expect(503).expect("Retry-After", /^\d+$/);
  assert.equal(body.error.type, "unavailable_error");
});

test("metrics have llama.cpp's names and this server's own, counted from the answers", async () => {
  const app = appOf(new FakeEngine({ slots: [free, busy] }));
  const metrics = async () => (await supertest(app).get("/metrics").expect(200)).text;
  assert.match(await metrics(), /^llamacpp:tokens_predicted_total 0$/m);
  await supertest(app).post("/v1/chat/completions").send(ask).expect(200);
  await supertest(app)
    .post("/v1/chat/completions")
    .send({ ...ask, stream: true })
    .expect(200);
  await supertest(app).post("/chat/completions").send({}).expect(400);
  await supertest(app).get("/secret").expect(404);
  const text = await metrics();
  for (const line of [
    "llamacpp:prompt_tokens_total 4",
    "llamacpp:prompt_tokens_cached_total 2",
    "llamacpp:prompt_seconds_total 0.008",
    "llamacpp:tokens_predicted_total 4",
    "llamacpp:tokens_predicted_seconds_total 0.016",
    "llamacpp:n_decode_total 4",
    "llamacpp:n_tokens_max 5",
    "llamacpp:prompt_tokens_seconds 500",
    "llamacpp:predicted_tokens_seconds 250",
    "llamacpp:requests_processing 1",
    "llamacpp:requests_deferred 0",
    "llamacpp:n_busy_slots_per_decode 1.5",
    "pinference:idle_prefixes 2",
    "pinference:idle_prefix_bytes 3000000",
    "pinference:idle_prefixes_restored_total 5",
    'pinference:requests_total{route="/v1/chat/completions",status="200"} 2',
    'pinference:requests_total{route="/v1/chat/completions",status="400"} 1',
    'pinference:requests_total{route="unknown",status="404"} 1',
    'pinference:queue_seconds_bucket{le="0.005"} 2',
    'pinference:time_to_first_token_seconds_bucket{le="0.005"} 0',
    'pinference:time_to_first_token_seconds_bucket{le="0.01"} 2',
    'pinference:time_per_token_seconds_bucket{le="0.01"} 2',
    "pinference:request_seconds_count 2",
  ]) {
    assert.ok(text.split("\n").includes(line), `${line}\n${text}`);
  }
  assert.doesNotMatch(text, /secret|NaN|Infinity/);
  const names = [...text.matchAll(/^# TYPE (\S+) (?:counter|gauge|histogram)$/gm)].map(([, name]) => name);
  assert.equal(new Set(names).size, names.length);
  for (const name of names) assert.match(text, new RegExp(`^# HELP ${name} .`, "m"));
});

test("metrics answer as Prometheus' text while the model still loads", async () => {
  const app = appOf(new FakeEngine({ ready: new Promise(() => undefined) }));
  await supertest(app).get("/metrics").expect(200).expect("content-type", "text/plain; version=0.0.4");
  await supertest(app).head("/metrics").expect(200);
});

test("there are no adapters", async () => {
  const { body } = await supertest(appOf(new FakeEngine())).get("/lora-adapters").expect(200);
  assert.deepEqual(body, []);
});
