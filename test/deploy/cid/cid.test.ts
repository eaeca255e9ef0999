import assert from "node:assert/strict";
import { test } from "node:test";

import { CidHasher } from "../../../deploy/cid/cid.ts";

// Made by an IPFS node's importer with the parameters of the network.
const KNOWN: readonly (readonly [string, Buffer, string])[] = [
  ["nothing", Buffer.alloc(0), "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"],
  ["one short leaf", Buffer.from("hello world\n"), "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o"],
  ["one full leaf", Buffer.alloc(262_144), "QmRk1rduJvo5DfEYAaLobS2za9tDszk35hzaNSDCJ74DA7"],
  ["a leaf and one byte", Buffer.alloc(262_145), "QmbVuw4C4vcmVKqxoWtgDVobvcHrSn51qsmQmyxjk4sB2Q"],
  ["four leaves", Buffer.alloc(1 << 20, "a"), "QmNecXLe3tMEdoo992NpHrcXwtbvieS1KhNmrv2iE2VBBN"],
  ["a full node", Buffer.alloc(174 * 262_144), "QmY4HSz1oVGdUzb8poVYPLsoqBZjH6LZrtgnme9wWn2Qko"],
  ["a full node and one byte", Buffer.alloc(174 * 262_144 + 1), "QmehMASWcBsX7VcEQqs6rpR5AHoBfKyBVEgmkJHjpPg8jq"],
];

for (const [what, content, cid] of KNOWN) {
  test(`${what} has the CID that an IPFS node gives it`, () => {
    const hasher = new CidHasher();
    hasher.update(content);
    assert.equal(hasher.digest(), cid);
  });
}

test("the CID does not depend on how the bytes arrive", () => {
  const content = Buffer.alloc(174 * 262_144 + 1);
  const hasher = new CidHasher();
  for (let at = 0; at < content.byteLength; at += 999_983) hasher.update(content.subarray(at, at + 999_983));
  assert.equal(hasher.digest(), "QmehMASWcBsX7VcEQqs6rpR5AHoBfKyBVEgmkJHjpPg8jq");
});
