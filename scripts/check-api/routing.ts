import assert from "node:assert/strict";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";

import { errorOf, section, user } from "./checks.ts";

const { checks, check, checkDirect } = section("1-3 routing, headers, errors");
export const routing = checks;

const CHAT = "/v1/chat/completions";
const hello = { messages: [user("Say this is a test")], max_tokens: 4, temperature: 0 };
const text = JSON.stringify(hello);
const OWN_ENCODINGS = "a compute node unpacks bodies itself, and knows gzip and deflate only";
const OWN_LIMIT = "a compute node answers bodies above 1 MiB itself";

const POSTS =
  "/v1/chat/completions /chat/completions /v1/chat/completions/input_tokens /chat/completions/input_tokens /v1/completions /completion /completions /infill /tokenize /detokenize /apply-template /embedding /embeddings /v1/embeddings /v1/rerank /rerank /v1/reranking /reranking /v1/responses /responses /v1/responses/input_tokens /v1/messages /v1/messages/count_tokens".split(
    " ",
  );
const GETS = "/v1/models /models /props /slots /lora-adapters /health /v1/health /metrics /openapi.json /".split(" ");

for (const path of POSTS) {
  check(`POST ${path} is served, and refuses an empty object by name`, async ({ client }) => {
    const reply = await client.post(path, {});
    assert.equal(reply.status, 400, reply.text);
    assert.match(String(errorOf(reply)["message"]), /\w/);
  });
}
for (const path of GETS) {
  check(`GET ${path} is served, HEAD too`, async ({ client }) => {
    assert.equal((await client.get(path)).status, 200);
    const head = await client.send(path, { method: "HEAD" });
    assert.deepEqual([head.status, head.text], [200, ""]);
  });
}
check("a wrong method is 405 with Allow, on every route", async ({ client }) => {
  for (const path of [...POSTS, ...GETS, "/v1/responses/resp_x", "/v1/models/x"]) {
    const reply = await client.send(path, { method: "PUT" });
    assert.equal(reply.status, 405, path);
    assert.match(reply.headers.get("allow") ?? "", /GET|POST/);
    // Anthropic's errors have no code.
    if (!path.startsWith("/v1/messages")) assert.equal(errorOf(reply)["code"], "method_not_allowed");
  }
});
check("an unknown path is 404 (400 through a compute node) with the error object", async ({ client }) => {
  for (const path of ["/v1/audio/speech", "/v1/files", "/v1/images/generations", "/nothing", "/v2/models"]) {
    const reply = await client.post(path, {});
    assert.equal(reply.status, client.notFound, path);
    assert.equal(errorOf(reply)["code"], "not_found");
  }
});
check("duplicate slashes collapse and a trailing slash is ignored", async ({ client }) => {
  for (const path of ["/v1//chat/completions", "/v1/chat/completions/", "//v1//chat//completions//"]) {
    assert.equal((await client.post(path, hello)).status, 200, path);
  }
});
check("query strings that no route defines are ignored", async ({ client }) => {
  assert.equal((await client.post(`${CHAT}?api-version=2024-02-01`, hello)).status, 200);
  assert.equal((await client.get("/v1/models?limit=20&x=%zz")).status, 200);
});
check("a path prefix of a program is the same as none", async ({ client }) => {
  assert.equal((await client.post(`/vm/${"a".repeat(64)}${CHAT}`, hello)).status, 200);
});
check("/completions is llama.cpp's, /v1/completions OpenAI's", async ({ client }) => {
  const body = { prompt: "Hello", n_predict: 1 };
  assert.ok("content" in (await client.ask("/completions", body)));
  assert.ok("choices" in (await client.ask("/v1/completions", body)));
});

check("any key and none are accepted where none is configured", async ({ client }) => {
  for (const headers of [{ Authorization: "Bearer libertai" }, { "X-Api-Key": "x" }, {}]) {
    assert.equal((await client.post(CHAT, hello, headers)).status, 200);
  }
});
check("JSON is read whatever text type it claims, and without one", async ({ client }) => {
  const types =
    "application/json; charset=utf-8|application/json;charset=UTF-8|text/plain;charset=UTF-8|application/x-www-form-urlencoded|application/octet-stream";
  for (const type of types.split("|")) {
    const reply = await client.send(CHAT, { method: "POST", headers: { "Content-Type": type }, body: text });
    assert.equal(reply.status, 200, `${type}: ${reply.text}`);
  }
  assert.equal((await client.send(CHAT, { method: "POST", body: Buffer.from(text) })).status, 200);
});
check("other types are 415", async ({ client }) => {
  for (const type of [
    "application/xml",
    "multipart/form-data; boundary=x",
    "image/png",
    "application/json; charset=utf-16",
  ]) {
    const reply = await client.send(CHAT, { method: "POST", headers: { "Content-Type": type }, body: text });
    assert.deepEqual([reply.status, errorOf(reply)["code"]], [415, "unsupported_media_type"], type);
  }
});
const packed = (name: string, body: Buffer | string) => ({
  method: "POST",
  headers: { "Content-Encoding": name, "Content-Type": "application/json" },
  body,
});
check("gzip and deflate are unpacked", async ({ client }) => {
  assert.equal((await client.send(CHAT, packed("gzip", gzipSync(text)))).status, 200);
  assert.equal((await client.send(CHAT, packed("deflate", deflateSync(text)))).status, 200);
});
checkDirect(OWN_ENCODINGS, "br is unpacked, other encodings are 415", async ({ client }) => {
  assert.equal((await client.send(CHAT, packed("br", brotliCompressSync(text)))).status, 200);
  assert.equal((await client.send(CHAT, packed("zstd", text))).status, 415);
});
checkDirect(OWN_LIMIT, "a body over the limit is 413, packed ones too", async ({ client }) => {
  const huge = Buffer.alloc(40 * 1024 * 1024, 0x20);
  const reply = await client.send(CHAT, packed("gzip", gzipSync(huge)));
  assert.deepEqual([reply.status, errorOf(reply)["code"]], [413, "request_too_large"]);
});
check("a request id is echoed where it is well formed, and made where not", async ({ client }) => {
  const idOf = async (id: string) =>
    (await client.post(CHAT, hello, { "X-Request-Id": id })).headers.get("x-request-id");
  assert.equal(await idOf("abc-1.2:_"), "abc-1.2:_");
  const made = await idOf("a b");
  assert.ok(made !== null && made !== "a b" && made !== (await idOf("x".repeat(200))));
  assert.ok((await client.get("/nothing")).headers.get("x-request-id"));
});
check("openai-processing-ms is an integer on whole answers", async ({ client }) => {
  for (const [path, body] of [
    [CHAT, hello],
    ["/v1/completions", { prompt: "a", max_tokens: 1 }],
    ["/v1/embeddings", { input: "a" }],
  ] as const) {
    assert.match((await client.post(path, body)).headers.get("openai-processing-ms") ?? "", /^\d+$/, path);
  }
});
check("content types are those of the document", async ({ client }) => {
  const typeOf = async (path: string) => (await client.get(path)).headers.get("content-type");
  assert.equal(await typeOf("/v1/models"), "application/json; charset=utf-8");
  assert.equal(await typeOf("/metrics"), "text/plain; version=0.0.4");
  const { headers } = await client.post(CHAT, { ...hello, stream: true });
  assert.equal(headers.get("content-type"), "text/event-stream; charset=utf-8");
  assert.equal(headers.get("cache-control"), "no-cache, no-transform");
  assert.equal(headers.get("x-accel-buffering"), "no");
  assert.equal(headers.get("content-encoding"), null);
});
check("members without effect are named in X-Ignored-Params", async ({ client }) => {
  const body = { ...hello, foo: 1, tfs_z: 0.5, temperature: 0 };
  assert.equal((await client.post(CHAT, body)).headers.get("x-ignored-params"), "foo, tfs_z");
  assert.equal((await client.post(CHAT, { ...hello, tfs_z: 1 })).headers.get("x-ignored-params"), null);
});
check("names that could reach prototypes are without effect", async ({ client }) => {
  const body = `{"__proto__":{"temperature":9},"constructor":{"a":1},${text.slice(1)}`;
  assert.equal((await client.send(CHAT, { method: "POST", body })).status, 200);
});
check("CORS headers are on every answer, errors and streams included", async ({ client }) => {
  for (const reply of [
    await client.get("/v1/models"),
    await client.get("/nothing"),
    await client.post(CHAT, {}),
    await client.post(CHAT, { ...hello, stream: true }),
  ]) {
    assert.equal(reply.headers.get("access-control-allow-origin"), "*");
    const exposed = reply.headers.get("access-control-expose-headers") ?? "";
    for (const name of ["X-Request-Id", "Retry-After", "X-Ignored-Params", "openai-processing-ms"])
      assert.ok(exposed.includes(name));
  }
});
check("a preflight is 204 and echoes the wanted headers, on every path", async ({ client }) => {
  for (const path of [CHAT, "/v1/responses/x", "/nothing"]) {
    const headers = {
      Origin: "https://example.org",
      "Access-Control-Request-Method": "POST",
      "Access-Control-Request-Headers": "authorization,x-foo",
    };
    const reply = await client.send(path, { method: "OPTIONS", headers });
    assert.deepEqual([reply.status, reply.text], [204, ""]);
    assert.match(reply.headers.get("access-control-allow-headers") ?? "", /authorization.*x-foo/i);
    assert.match(reply.headers.get("access-control-allow-methods") ?? "", /GET.*POST.*DELETE/);
    assert.equal(reply.headers.get("access-control-max-age"), "86400");
  }
  const plain = await client.send(CHAT, { method: "OPTIONS" });
  assert.match(plain.headers.get("access-control-allow-headers") ?? "", /Authorization/);
});

const BROKEN: readonly (readonly [string, string | Buffer])[] = [
  ["no JSON", "{"],
  ["empty", ""],
  ["not UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d])],
  ["nested 100,000 deep", "[".repeat(100_000)],
  ["two values", "{}{}"],
];
for (const [what, body] of BROKEN) {
  check(`a body that is ${what} is 400 invalid_json`, async ({ client }) => {
    const headers = { "Content-Type": "application/json" };
    const reply = await client.send(CHAT, { method: "POST", headers, body });
    assert.deepEqual([reply.status, errorOf(reply)["code"]], [400, "invalid_json"], reply.text);
  });
}
check("a body that is no object is 400 invalid_type", async ({ client }) => {
  for (const body of [[], "x", 3, null, true]) {
    const reply = await client.post(CHAT, body);
    assert.deepEqual([reply.status, errorOf(reply)["code"]], [400, "invalid_type"], JSON.stringify(body));
  }
});
check(
  "an error has message, type, param and code, and its message names the value and what is allowed",
  async ({ client }) => {
    const error = errorOf(await client.post(CHAT, { ...hello, temperature: 3 }));
    assert.deepEqual(
      [error["type"], error["param"], error["code"]],
      ["invalid_request_error", "temperature", "invalid_value"],
    );
    assert.match(String(error["message"]), /temperature.*between 0 and 2.*3/);
  },
);
check("a long value is cut in the message", async ({ client }) => {
  const error = errorOf(await client.post(CHAT, { ...hello, temperature: "x".repeat(5000) }));
  assert.equal(error["code"], "invalid_type");
  assert.ok(String(error["message"]).length < 400);
});
check(
  "a wrong model is 404 model_not_found with its param; an empty one is the served model",
  async ({ client, model }) => {
    for (const [path, rest] of [
      [CHAT, hello],
      ["/v1/completions", { prompt: "a", max_tokens: 1 }],
      ["/v1/embeddings", { input: "a" }],
      ["/v1/responses", { input: "a", max_output_tokens: 1 }],
    ] as const) {
      const reply = await client.post(path, { ...rest, model: "gpt-9" });
      assert.equal(reply.status, client.notFound, path);
      const { code, param } = errorOf(reply);
      assert.deepEqual([code, param], ["model_not_found", "model"]);
      for (const name of ["", model.id]) assert.equal((await client.post(path, { ...rest, model: name })).status, 200);
    }
  },
);
check("null is the same as leaving a parameter out", async ({ client }) => {
  const nulls = Object.fromEntries(
    "temperature top_p stop seed n max_tokens stream stream_options tools tool_choice response_format logit_bias logprobs top_logprobs user metadata grammar json_schema"
      .split(" ")
      .map((name) => [name, null]),
  );
  assert.equal((await client.post(CHAT, { messages: hello.messages, ...nulls, max_completion_tokens: 2 })).status, 200);
});
check('3.0 is an integer, "3" is none', async ({ client }) => {
  const body = `{"messages":[{"role":"user","content":"a"}],"max_tokens":3.0}`;
  assert.equal((await client.send(CHAT, { method: "POST", body })).status, 200);
  const { code, param } = errorOf(await client.post(CHAT, { ...hello, max_tokens: "3" }));
  assert.deepEqual([code, param], ["invalid_type", "max_tokens"]);
});
check("a refusal comes before the stream, with its status", async ({ client }) => {
  const reply = await client.post(CHAT, { ...hello, temperature: -1, stream: true });
  assert.equal(reply.status, 400);
  assert.equal(errorOf(reply)["param"], "temperature");
});
