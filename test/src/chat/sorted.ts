import assert from "node:assert/strict";

import type { AnswerPiece } from "../../../src/chat/answer-parser.ts";

/** Neighbours of one kind joined, as a client joins them. */
export function joined(pieces: readonly AnswerPiece[]): string[] {
  const all: { type: string; text?: string; call?: number; name?: string }[] = [];
  for (const piece of pieces) {
    const last = all.at(-1);
    if (last?.type === piece.type && "text" in piece && last.call === ("call" in piece ? piece.call : undefined)) {
      last.text += piece.text;
    } else all.push({ ...piece });
  }
  return all.map(({ type, text, name }) => (type === "call" ? `call ${name}` : `${type}: ${text}`));
}

/** Whatever the pieces in which a text arrives, it is sorted alike. */
export function assertSortedBy(
  parse: (pieces: readonly string[]) => readonly AnswerPiece[],
  text: string,
  expected: readonly string[],
): void {
  assert.deepEqual(joined(parse([text])), expected);
  assert.deepEqual(joined(parse(Array.from(text))), expected, "character by character");
  for (let at = 1; at < text.length; at++) {
    assert.deepEqual(joined(parse([text.slice(0, at), text.slice(at)])), expected, `cut at ${at}`);
  }
}
