import assert from "node:assert/strict";
import { test } from "node:test";

import { Detokenizer } from "../../../src/engine/detokenizer.ts";
import type { NativeModel } from "../../../src/engine/native.ts";

/** A byte-level vocabulary of the given tokens. */
function detokenizerOf(vocabulary: readonly Buffer[]): Detokenizer {
  const detokenize = (tokens: Uint32Array) => Buffer.concat([...tokens].map((token) => vocabulary[token]!)).toString();
  return new Detokenizer({ detokenize } as NativeModel, [], true);
}

/** The text's bytes in tokens of `size`; what each token gave, and what was left at the end. */
function pieces(bytes: Buffer, size: number): string[] {
  const tokens: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) tokens.push(bytes.subarray(at, at + size));
  const detokenizer = detokenizerOf(tokens);
  return [...tokens.map((_, token) => detokenizer.push(token)), detokenizer.flush()];
}

for (const text of ["ภาษาไทยเป็นภาษาที่สวยงาม", "नमस्ते दुनिया, कैसे हैं आप", "🦊🌍👩‍👩‍👧 naïve 漢字", "plain"]) {
  test(`${text} is whole wherever tokens cut it, and no piece holds half a character`, () => {
    for (const size of [1, 2, 3, 4, 5, 7]) {
      const all = pieces(Buffer.from(text), size);
      assert.equal(all.join(""), text, `tokens of ${size} bytes`);
      assert.ok(all.every((piece) => Buffer.from(piece).toString() === piece && !piece.includes("\uFFFD")));
    }
  });
}

test("a long run of tokens that each begin the next character is sent as it comes", () => {
  const all = pieces(Buffer.from("x" + "ก".repeat(200)), 3);
  assert.ok(all.slice(1, -2).every((piece) => piece === "ก"));
});

test("bytes that are no character do not hold back what follows; an unfinished character is left out", () => {
  const bad = detokenizerOf([Buffer.from([0xe0]), Buffer.from("abc"), Buffer.from([0xe0, 0xb8])]);
  assert.equal([bad.push(0), bad.push(1)].join(""), "\uFFFDabc");
  assert.equal([bad.push(2), bad.flush()].join(""), "");
  const never = detokenizerOf([Buffer.from([0xff])]);
  assert.equal([0, 0, 0, 0].map((token) => never.push(token)).join(""), "\uFFFD".repeat(4));
});
