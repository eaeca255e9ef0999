import assert from "node:assert/strict";
import { test } from "node:test";

import { parseItemHash } from "../../../src/domain/hash.ts";
import { hostLabel, route } from "../../../deploy/local/routing.ts";

const hash = parseItemHash("1d3842fc4257c0fd4f9c7d5c55bba16264de8d44f47265a14f8f6eb4d542dda2");
const label = "du4ef7cck7ap2t44pvoflo5bmjsn5dke6rzglikpr5xljvkc3wra";

test("the host label of a hash is the network's", () => {
  assert.equal(hostLabel(hash), label);
  assert.equal(hostLabel(parseItemHash("cafe".repeat(16))), "zl7mv7wk73fp5sx6zl7mv7wk73fp5sx6zl7mv7wk73fp5sx6zl7a");
  assert.equal(hostLabel(parseItemHash("QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH")), undefined);
});

test("a program is named by the path or by the host, and gets the same target", () => {
  const cases: readonly (readonly [host: string | undefined, target: string, forwarded: string])[] = [
    ["localhost:4020", `/vm/${hash}`, "/"],
    [undefined, `/vm/${hash}?a=1`, "/?a=1"],
    ["127.0.0.1", `/vm/${hash}/`, "/"],
    ["anything.example", `/vm/${hash}/v1/models?a=/b?c`, "/v1/models?a=/b?c"],
    ["localhost", `/vm/${hash}//x/../y`, "//x/../y"],
    ["localhost", `http://localhost/vm/${hash}/v1`, "/v1"],
    [`${label}.localhost:4020`, "/v1/models?a=1", "/v1/models?a=1"],
    [`${label.toUpperCase()}.aleph.example`, "/", "/"],
    [`${label}.localhost`, "/api/chat", "/api/chat"],
  ];
  for (const [host, target, forwarded] of cases) {
    assert.deepEqual(route(host, target), { kind: "program", itemHash: hash, target: forwarded }, `${host} ${target}`);
  }
});

test("the supervisor's own pages win over the host form", () => {
  for (const path of ["/about/x", "/control", "/status/config", "/static/a", "/debug/haproxy"]) {
    assert.equal(route(`${label}.localhost`, path).kind, "own");
  }
  assert.equal(route(`${label}.localhost`, "/aboutness").kind, "program");
});

test("what names no program says why", () => {
  assert.deepEqual(route("localhost", "/"), { kind: "index" });
  assert.deepEqual(route("[::1]:4020", "/"), { kind: "index" });
  assert.deepEqual(route("node.example", "/", ["node.example"]), { kind: "index" });
  assert.deepEqual(route("localhost", "/v1"), { kind: "no-program", path: "/v1" });
  assert.deepEqual(route("re-bound.example", "/"), { kind: "no-program", path: "/" });
  assert.deepEqual(route("localhost", "/vm/abc/x"), { kind: "malformed-reference", reference: "abc" });
  assert.deepEqual(route("localhost", `/vm/${label}/x`), { kind: "malformed-reference", reference: label });
  assert.deepEqual(route("localhost", `/vm/${hash}x`), { kind: "malformed-reference", reference: `${hash}x` });
  assert.deepEqual(route("aaaa.localhost", "/"), { kind: "wrong-label-length", label: "aaaa", hex: "0000" });
});
