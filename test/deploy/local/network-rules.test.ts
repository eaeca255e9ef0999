import assert from "node:assert/strict";
import { test } from "node:test";

import { parseItemHash } from "../../../src/domain/hash.ts";
import { decodePath, decodeQuery, toClientAnswer } from "../../../deploy/local/network-rules.ts";

const identity = { itemHash: parseItemHash("aa".repeat(32)), codeRef: parseItemHash("bb".repeat(32)) };

test("a path is decoded, what is not UTF-8 left as it is", () => {
  const cases: readonly (readonly [raw: string, decoded: string])[] = [
    ["/a%2Fb%20c%3Fd", "/a/b c?d"],
    ["/%C3%A9%e6%97%a5%F0%9F%98%80", "/é日😀"],
    ["/%ff%41%C3", "/%ffA%C3"],
    ["/a+b%2B", "/a+b+"],
    ["//x/../%2e%2e", "//x/../.."],
    ["/100%", "/100%"],
    ["/%00", "/\u0000"],
  ];
  for (const [raw, decoded] of cases) assert.equal(decodePath(raw), decoded);
});

test("a query is decoded except for its own delimiters", () => {
  const cases: readonly (readonly [raw: string, decoded: string])[] = [
    ["a=%26%3D%2B%3B", "a=%26%3D%2B%3B"],
    ["q=a%20b+c", "q=a b c"],
    ["q=%23%25", "q=#%"],
    ["q=%C3%A9%26", "q=é%26"],
  ];
  for (const [raw, decoded] of cases) assert.equal(decodeQuery(raw), decoded);
});

test("a 404 of a guest becomes a string inside another error, its headers lost", () => {
  const body = Buffer.from('{"error":"é"}');
  const answer = toClientAnswer("GET", { status: 404, headers: [["x-a", "1"]], body }, identity);
  assert.equal(Buffer.from(answer.body).toString(), '{"error":"{\\"error\\":\\"é\\"}"}');
  assert.equal(answer.status, 404);
  assert.ok(answer.headers.some(([name, value]) => name === "content-type" && value.startsWith("application/json")));
  assert.ok(!answer.headers.some(([name]) => name === "x-a"));
});

test("answer headers are lower-cased, some removed, the identity added, a type always given", () => {
  const headers = [
    ["Set-Cookie", "a=1"],
    ["Set-Cookie", "b=2"],
    ["Vary", "Origin"],
    ["Content-Encoding", "gzip"],
    ["Server", "guest"],
    ["Aleph-Program-ItemHash", "forged"],
  ] as const;
  const answer = toClientAnswer("GET", { status: 200, headers, body: Buffer.from("abc") }, identity);
  assert.deepEqual(answer.headers.slice(0, -1), [
    ["set-cookie", "a=1"],
    ["set-cookie", "b=2"],
    ["content-type", "application/octet-stream"],
    ["content-length", "3"],
    ["Aleph-Program-ItemHash", identity.itemHash],
    ["Aleph-Program-Code-Ref", identity.codeRef],
  ]);
});
