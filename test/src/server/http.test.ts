import assert from "node:assert/strict";
import { test } from "node:test";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { request as httpRequest } from "node:http";
import { connect } from "node:net";
import { text as readText } from "node:stream/consumers";
import { createHash } from "node:crypto";
import supertest from "supertest";

import { parseSha256 } from "../../../src/domain/hash.ts";
import { FakeEngine } from "../../support/fake-engine.ts";
import { appOf, listen } from "../../support/server.ts";

const ask = JSON.stringify({ messages: [{ role: "user", content: "Hi" }] });
const CHAT = "/v1/chat/completions";

function hashOf(key: string) {
  return parseSha256(createHash("sha256").update(key).digest("hex"));
}

test("paths are known with and without /v1, a program prefix, doubled and trailing slashes", async () => {
  const app = appOf(new FakeEngine());
  for (const path of ["/v1/chat/completions", "/chat/completions"]) {
    for (const spelling of [path, `${path}/`, `/${path}`, path.replaceAll("/", "//"), `${path}?api-version=1`]) {
      await supertest(app).post(spelling).type("json").send(ask).expect(200);
    }
    await supertest(app)
      .post(`/vm/${"cafe".repeat(16)}${path}`)
      .type("json")
      .send(ask)
      .expect(200);
  }
  for (const path of [
    "/models",
    "/v1/models",
    "/v1//models/",
    "/health",
    "/v1/health",
    "/",
    "//",
    "/vm/cafe",
    "/vm/cafe/",
  ]) {
    await supertest(app).get(path).expect(200);
    const { text } = await supertest(app).head(path).expect(200);
    assert.equal(text ?? "", "");
  }
});

test("unknown paths are 404 with the error object", async () => {
  const app = appOf(new FakeEngine());
  for (const path of [
    "/nothing",
    "/v1",
    "/V1/models",
    "/v1/models/gpt-4o",
    "/v1/models/%E0%A4%A",
    "/v1/audio/speech",
  ]) {
    const { body } = await supertest(app).get(path).expect(404);
    assert.equal(body.error.type, "invalid_request_error");
    assert.match(body.error.code, /^(not_found|model_not_found)$/);
  }
});

test("a wrong method is 405 with Allow", async () => {
  const app = appOf(new FakeEngine());
  const { body } = await supertest(app).get(CHAT).expect(405).expect("Allow", "POST, OPTIONS");
  assert.equal(body.error.code, "method_not_allowed");
  await supertest(app).delete("/v1/models").expect(405).expect("Allow", "GET, HEAD, OPTIONS");
  await supertest(app).post("/health").expect(405).expect("Allow", "GET, HEAD, OPTIONS");
});

test("a preflight is 204 on every path and grants the headers asked for", async () => {
  const app = appOf(new FakeEngine(), { apiKeyHashes: [parseSha256("0".repeat(64))] });
  for (const path of [CHAT, "/nothing", "/"]) {
    const { headers, text } = await supertest(app)
      .options(path)
      .set("Access-Control-Request-Headers", "authorization, x-custom")
      .expect(204);
    assert.equal(text, "");
    assert.equal(headers["access-control-allow-origin"], "*");
    assert.equal(headers["access-control-allow-headers"], "authorization, x-custom");
    assert.equal(headers["access-control-allow-methods"], "GET, POST, DELETE, HEAD, OPTIONS");
    assert.equal(headers["access-control-max-age"], "86400");
  }
  const { headers } = await supertest(app).options(CHAT).expect(204);
  assert.match(headers["access-control-allow-headers"] ?? "", /Authorization, Content-Type, X-Api-Key/);
});

test("errors carry the CORS headers too, of the configured origin", async () => {
  const app = appOf(new FakeEngine(), { corsOrigin: "https://chat.example" });
  const { headers } = await supertest(app).get("/nothing").expect(404);
  assert.equal(headers["access-control-allow-origin"], "https://chat.example");
  assert.match(headers["access-control-expose-headers"] ?? "", /X-Request-Id, Retry-After, X-Ignored-Params/);
});

test("a request id is echoed if it is well formed and made up if not", async () => {
  const app = appOf(new FakeEngine());
  await supertest(app).get("/health").set("X-Request-Id", "a.B:c_d-1").expect("X-Request-Id", "a.B:c_d-1");
  for (const given of ["two words", "x".repeat(129), "<b>"]) {
    await supertest(app)
      .get("/nothing")
      .set("X-Request-Id", given)
      .expect("X-Request-Id", /^req_[0-9a-f]{32}$/);
  }
  const ids = await Promise.all([1, 2].map(async () => (await supertest(app).get("/health")).headers["x-request-id"]));
  assert.notEqual(ids[0], ids[1]);
});

test("JSON is read under every usual content type and under none", async (t) => {
  const { url, port } = await listen(t, appOf(new FakeEngine()));
  for (const type of [
    "application/json",
    "application/json; charset=UTF-8",
    'application/json; charset="utf8"',
    "text/plain;charset=UTF-8",
    "application/x-www-form-urlencoded",
    "application/octet-stream",
  ]) {
    const answer = await fetch(url + CHAT, { method: "POST", body: ask, headers: { "Content-Type": type } });
    assert.equal(answer.status, 200, type);
  }
  const bare = httpRequest({ port, path: CHAT, method: "POST" });
  bare.end(ask);
  const status = await new Promise((resolve) => bare.once("response", (answer) => resolve(answer.statusCode)));
  assert.equal(status, 200);
});

test("other content types, charsets and encodings are 415", async () => {
  const app = appOf(new FakeEngine());
  for (const headers of [
    { "Content-Type": "application/xml" },
    { "Content-Type": "multipart/form-data; boundary=x" },
    { "Content-Type": "application/json; charset=latin1" },
    { "Content-Type": "application/json", "Content-Encoding": "zstd" },
  ]) {
    const { body } = await supertest(app).post(CHAT).set(headers).send(ask).expect(415);
    assert.equal(body.error.code, "unsupported_media_type");
  }
});

test("compressed bodies are read", async (t) => {
  const { url } = await listen(t, appOf(new FakeEngine()));
  const bodies = {
    gzip: gzipSync(ask),
    deflate: deflateSync(ask),
    br: brotliCompressSync(ask),
    identity: Buffer.from(ask),
  };
  for (const [encoding, body] of Object.entries(bodies)) {
    const answer = await fetch(url + CHAT, { method: "POST", body, headers: { "Content-Encoding": encoding } });
    assert.equal(answer.status, 200, encoding);
  }
  const broken = await fetch(url + CHAT, { method: "POST", body: ask, headers: { "Content-Encoding": "gzip" } });
  assert.equal(broken.status, 400);
});

test("what is not JSON is invalid_json", async () => {
  const app = appOf(new FakeEngine());
  const bomb = `{"messages":${"[".repeat(100_000)}${"]".repeat(100_000)}}`;
  for (const body of ["", "{", "hello", bomb]) {
    const { body: answer } = await supertest(app).post(CHAT).type("json").send(body).expect(400);
    assert.equal(answer.error.code, "invalid_json");
  }
  for (const body of ["[]", "3", "null"]) {
    const { body: answer } = await supertest(app).post(CHAT).type("json").send(body).expect(400);
    assert.equal(answer.error.code, "invalid_type");
  }
});

test("a body over the limit is 413, decompressed or chunked too", async (t) => {
  const { url } = await listen(t, appOf(new FakeEngine(), { bodyLimitBytes: 1000 }));
  const big = JSON.stringify({ messages: [{ role: "user", content: "x".repeat(2000) }] });
  const chunked = new Blob([big]).stream();
  const posts = [
    { body: big },
    { body: gzipSync(big), headers: { "Content-Encoding": "gzip" } },
    { body: chunked, duplex: "half" as const },
  ];
  for (const post of posts) {
    const answer = await fetch(url + CHAT, { method: "POST", ...post });
    assert.equal(answer.status, 413);
    assert.equal(((await answer.json()) as { error: { code: string } }).error.code, "request_too_large");
  }
});

test("a declared length over the limit is refused before anything is read", async (t) => {
  const { port } = await listen(t, appOf(new FakeEngine(), { bodyLimitBytes: 1000 }));
  for (const expect of ["", "Expect: 100-continue\r\n"]) {
    const socket = connect(port, "127.0.0.1");
    t.after(() => socket.destroy());
    socket.write(`POST ${CHAT} HTTP/1.1\r\nHost: a\r\n${expect}Content-Length: 99999999999\r\n\r\n`);
    const [first] = (await new Promise((resolve) => socket.once("data", (data) => resolve([data])))) as [Buffer];
    assert.match(first.toString(), /^HTTP\/1\.1 413 /);
  }
});

test("Expect: 100-continue is answered before the body is sent", async (t) => {
  const { port } = await listen(t, appOf(new FakeEngine()));
  const sending = httpRequest({ port, path: CHAT, method: "POST", headers: { Expect: "100-continue" } });
  sending.flushHeaders();
  await new Promise((resolve) => sending.once("continue", resolve));
  const answered = new Promise<string>((resolve) => sending.once("response", (answer) => resolve(readText(answer))));
  sending.end(ask);
  assert.match(await answered, /"Hello"/);
});

test("without configured keys every key and none is let in", async () => {
  const app = appOf(new FakeEngine());
  await supertest(app).get("/v1/models").expect(200);
  await supertest(app).get("/v1/models").set("Authorization", "Bearer libertai").expect(200);
});

test("with configured keys only these open the API, while health and the index stay open", async () => {
  const app = appOf(new FakeEngine(), { apiKeyHashes: [hashOf("sk-one"), hashOf("sk-two")] });
  const granted = [
    ["Authorization", "Bearer sk-one"],
    ["Authorization", "bearer sk-two"],
    ["X-Api-Key", "sk-two"],
  ] as const;
  for (const [name, value] of granted) await supertest(app).get("/v1/models").set(name, value).expect(200);
  const denied = [
    ["Authorization", "Bearer sk-three"],
    ["Authorization", "Basic sk-one"],
    ["X-Api-Key", ""],
    ["Cookie", "sk-one"],
  ] as const;
  for (const [name, value] of denied) {
    const { body } = await supertest(app).get("/v1/models").set(name, value).expect(401);
    assert.equal(body.error.code, "invalid_api_key");
    assert.doesNotMatch(JSON.stringify(body), /sk-/);
  }
  await supertest(app).post(CHAT).type("json").send("{").expect(401);
  for (const path of ["/health", "/v1/health", "/"]) await supertest(app).get(path).expect(200);
});

test("the model list has the members that OpenAI's, Anthropic's and llama.cpp's clients look for", async () => {
  const app = appOf(new FakeEngine());
  const { body } = await supertest(app).get("/v1/models").expect(200);
  assert.deepEqual(body, {
    object: "list",
    data: [
      {
        id: "tiny",
        object: "model",
        created: 1731000000,
        owned_by: "pinference",
        type: "model",
        display_name: "tiny",
        created_at: "2024-11-07T17:20:00.000Z",
        aliases: ["tiny-alias", "org/tiny"],
        meta: {
          vocab_type: "bpe",
          n_vocab: 512,
          n_ctx: 4096,
          n_ctx_train: 8192,
          n_embd: 64,
          n_params: 2_000_000,
          size: 4_000_000,
          ftype: "Q8_0",
        },
      },
    ],
    has_more: false,
    first_id: "tiny",
    last_id: "tiny",
    models: [
      {
        name: "tiny",
        model: "tiny",
        modified_at: "2024-11-07T17:20:00.000Z",
        size: 4_000_000,
        type: "model",
        capabilities: ["completion", "embedding"],
        details: { format: "gguf", parameter_size: "2000000", quantization_level: "Q8_0" },
      },
    ],
  });
  for (const name of ["tiny", "tiny-alias", "org/tiny", "org%2Ftiny"]) {
    const one = await supertest(app).get(`/v1/models/${name}`).expect(200);
    assert.deepEqual(one.body, body.data[0]);
  }
});

test("the index says which model is here and where, for people and for programs", async () => {
  const app = appOf(new FakeEngine());
  const { body } = await supertest(app).get("/").set("Accept", "application/json").expect(200);
  assert.deepEqual([body.model, body.base_url], ["tiny", "v1/"]);
  const page = await supertest(app).get("/").set("Accept", "text/html,*/*;q=0.8").expect(200);
  assert.match(page.text, /<h1>tiny<\/h1>/);
  assert.doesNotMatch(page.text, /(?:href|src)="(?:\/|https?:)/);
});
