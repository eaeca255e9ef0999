import assert from "node:assert/strict";
import { test } from "node:test";

import { toForwardedAnswer, toRequestTarget, toServerHeaders } from "../../../src/guest/forward.ts";

test("a decoded path cannot change the meaning of the request target", () => {
  const cases: readonly (readonly [path: string, target: string])[] = [
    ["/v1/models", "/v1/models"],
    ["/v1/models/a?b#c", "/v1/models/a%3Fb%23c"],
    ["/a b", "/a%20b"],
    ["/100%", "/100%25"],
    ["/%41", "/%2541"],
    ["/é/日", "/%C3%A9/%E6%97%A5"],
    ["//x/../y", "//x/../y"],
    ["/-._~!$&'()*+,;=:@", "/-._~!$&'()*+,;=:@"],
    ["/a\r\nHost: evil", "/a%0D%0AHost:%20evil"],
    ["/\u0000", "/%00"],
    ["/\ud800", "/%EF%BF%BD"],
    ["", "/"],
  ];
  for (const [path, target] of cases) assert.equal(toRequestTarget(path, ""), target);
});

test("a decoded query is encoded again, whole escapes left alone", () => {
  const cases: readonly (readonly [query: string, target: string])[] = [
    ["a=1&b=2", "/?a=1&b=2"],
    ["q=a b", "/?q=a%20b"],
    ["q=%26%3D%2B%3B", "/?q=%26%3D%2B%3B"],
    ["q=100%", "/?q=100%25"],
    ["q=%zz", "/?q=%25zz"],
    ['q=#"<>', "/?q=%23%22%3C%3E"],
    ["q=é\n", "/?q=%C3%A9%0A"],
    ["a?b/c", "/?a?b/c"],
  ];
  for (const [query, target] of cases) assert.equal(toRequestTarget("/", query), target);
});

test("stale and connection headers are dropped, order and duplicates kept, the length is the body's", () => {
  const headers = [
    ["host", "x"],
    ["transfer-encoding", "chunked"],
    ["content-encoding", "gzip"],
    ["content-length", "12"],
    ["connection", "keep-alive, X-Hop"],
    ["x-hop", "1"],
    ["keep-alive", "timeout=5"],
    ["expect", "100-continue"],
    ["upgrade", "h2c"],
    ["x-two", "1"],
    ["x-two", "2"],
  ] as const;
  assert.deepEqual(toServerHeaders("POST", headers, 34), [
    ["host", "x"],
    ["x-two", "1"],
    ["x-two", "2"],
    ["content-length", "34"],
  ]);
  assert.deepEqual(toServerHeaders("GET", [["host", "x"]], 0), [["host", "x"]]);
  assert.deepEqual(toServerHeaders("POST", [], 0), [["content-length", "0"]]);
});

test("a 404 leaves as 400 with the same body, other statuses as they are", () => {
  const body = Buffer.from('{"error":{"code":"model_not_found"}}');
  const answer = { status: 404, headers: [["content-type", "application/json"]], body } as const;
  const forwarded = toForwardedAnswer("POST", answer);
  assert.equal(forwarded.status, 400);
  assert.equal(forwarded.body, body);
  assert.deepEqual(forwarded.headers, [
    ["content-type", "application/json"],
    ["content-length", String(body.length)],
  ]);
  for (const status of [200, 400, 405, 429, 500]) {
    assert.equal(toForwardedAnswer("GET", { ...answer, status }).status, status);
  }
});

test("answer headers that no longer hold are dropped, and the length is true", () => {
  const headers = [
    ["Content-Length", "999"],
    ["Content-Encoding", "identity"],
    ["Transfer-Encoding", "chunked"],
    ["Connection", "close"],
    ["Keep-Alive", "timeout=5"],
    ["Date", "now"],
    ["Set-Cookie", "a=1"],
    ["Set-Cookie", "b=2"],
  ] as const;
  const kept = toForwardedAnswer("GET", { status: 200, headers, body: Buffer.from("abc") }).headers;
  assert.deepEqual(kept, [
    ["Set-Cookie", "a=1"],
    ["Set-Cookie", "b=2"],
    ["content-length", "3"],
  ]);
});

test("an answer without a body keeps what it says of one", () => {
  const empty = new Uint8Array();
  const headers = [["content-length", "42"]] as const;
  assert.deepEqual(toForwardedAnswer("HEAD", { status: 200, headers, body: empty }).headers, [
    ["content-length", "42"],
  ]);
  assert.deepEqual(toForwardedAnswer("GET", { status: 204, headers, body: empty }).headers, []);
});
