import assert from "node:assert/strict";
import { test } from "node:test";

import { parseJson } from "../../../src/openai/json.ts";

const bytes = (text: string) => Buffer.from(text);

test("JSON in UTF-8 is read, with or without a byte order mark", () => {
  assert.deepEqual(parseJson(bytes('{"a":"é👋\\ud800"}')), { a: "é👋\ud800" });
  assert.deepEqual(parseJson(bytes('\ufeff{"a":1}')), { a: 1 });
});

test("nothing, broken JSON and broken UTF-8 are invalid_json, and the body is not quoted", () => {
  for (const body of [bytes(""), bytes(" \n"), bytes('{"secret":'), bytes("secret"), Buffer.from([0x22, 0xff, 0x22])]) {
    assert.throws(
      () => parseJson(body),
      (error: Error & { code?: string }) => error.code === "invalid_json" && !error.message.includes("secret"),
    );
  }
});

test("brackets in strings do not count as depth", () => {
  const text = JSON.stringify({ a: `${"[".repeat(1000)}\\"` });
  assert.deepEqual(parseJson(bytes(text)), JSON.parse(text));
});

test("very deep nesting is refused before it is parsed", () => {
  for (const [open, close] of [
    ["[", "]"],
    ['{"a":', "}"],
  ] as const) {
    const bomb = `{"messages":${open.repeat(1_000_000)}1${close.repeat(1_000_000)}}`;
    assert.throws(() => parseJson(bytes(bomb)), { code: "invalid_json" });
    parseJson(bytes(`${open.repeat(256)}1${close.repeat(256)}`));
  }
});
