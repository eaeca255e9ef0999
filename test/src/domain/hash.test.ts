import assert from "node:assert/strict";
import { test } from "node:test";

import { parseFileHash, parseItemHash, parseSha256, storageEngineOf } from "../../../src/domain/hash.ts";

const sha = "cafe".repeat(16);

test("the three hash forms of the network are item hashes", () => {
  for (const text of [sha, "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH", `bafy${"a".repeat(55)}`]) {
    assert.equal(parseItemHash(text), text);
  }
});

test("upper case, raw-leaf CIDs and other lengths are refused", () => {
  for (const text of [
    sha.toUpperCase(),
    `bafk${"a".repeat(55)}`,
    sha.slice(1),
    `bafy${"a".repeat(54)}`,
    "",
    `${sha}\n`,
  ]) {
    assert.throws(() => parseItemHash(text), { code: "hash_malformed" });
    assert.throws(() => parseFileHash(text), { code: "hash_malformed" });
  }
  assert.throws(() => parseSha256("QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"), { code: "hash_malformed" });
});

test("a sha256 lives in the network's storage, a CID on IPFS", () => {
  assert.equal(storageEngineOf(parseFileHash(sha)), "storage");
  assert.equal(storageEngineOf(parseFileHash("QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH")), "ipfs");
});
