import assert from "node:assert/strict";
import { test } from "node:test";

import { CidV0Hasher } from "../../../deploy/cid/cid.ts";

const CHUNK = 262_144;
const mebibyteOfA = Buffer.alloc(1 << 20, 0x61);

/** Known answers of go-ipfs: file content as pieces, CIDv0. */
const KNOWN: readonly (readonly [string, Iterable<Uint8Array>, string])[] = [
  ["an empty file", [], "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"],
  ["a small text", [Buffer.from("hello world\n")], "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o"],
  ["exactly one chunk", zeros(CHUNK), "QmRk1rduJvo5DfEYAaLobS2za9tDszk35hzaNSDCJ74DA7"],
  ["one chunk and a byte", zeros(CHUNK + 1), "QmbVuw4C4vcmVKqxoWtgDVobvcHrSn51qsmQmyxjk4sB2Q"],
  ["four chunks", [mebibyteOfA], "QmNecXLe3tMEdoo992NpHrcXwtbvieS1KhNmrv2iE2VBBN"],
  ["a full node of chunks", zeros(174 * CHUNK), "QmY4HSz1oVGdUzb8poVYPLsoqBZjH6LZrtgnme9wWn2Qko"],
  ["a full node and a byte", zeros(174 * CHUNK + 1), "QmehMASWcBsX7VcEQqs6rpR5AHoBfKyBVEgmkJHjpPg8jq"],
];

for (const [what, pieces, cid] of KNOWN) {
  test(`the CID of ${what} is what an IPFS node computes`, () => {
    const hasher = new CidV0Hasher();
    for (const piece of pieces) hasher.update(piece);
    assert.equal(hasher.digest(), cid);
  });
}

test("the CID does not depend on how the bytes arrive", () => {
  const hasher = new CidV0Hasher();
  for (let at = 0; at < mebibyteOfA.length; at += 99_991) hasher.update(mebibyteOfA.subarray(at, at + 99_991));
  assert.equal(hasher.digest(), "QmNecXLe3tMEdoo992NpHrcXwtbvieS1KhNmrv2iE2VBBN");
});

function* zeros(bytes: number): Generator<Uint8Array> {
  const piece = Buffer.alloc(1 << 20);
  for (let left = bytes; left > 0; left -= piece.length) yield piece.subarray(0, Math.min(left, piece.length));
}
