import assert from "node:assert/strict";
import { test } from "node:test";

import { readContent } from "../../../deploy/messages/contents.ts";
import { strictProgramProblems } from "../../../deploy/messages/strict.ts";
import { toProgramContent, toStoreContent } from "../../../deploy/network/messages.ts";
import { parseFileHash, parseItemHash } from "../../../src/domain/hash.ts";

const author = { address: "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A", time: 1_800_000_000.5 };
const ref = parseItemHash("cafe".repeat(16));

test("a program says everything that a CRN wants said, and nothing in it can change", () => {
  const content = toProgramContent(author, {
    name: "tiny",
    runtime: { ref, comment: "node" },
    code: { ref, entrypoint: "src/main.js" },
    volumes: [
      { mount: "/models/0", ref },
      { mount: "/models/1", ref, comment: "second shard" },
    ],
    variables: { MODEL: "/models/0" },
    resources: { vcpus: 4, memoryMiB: 8192, seconds: 290 },
  });
  assert.deepEqual(strictProgramProblems(JSON.stringify(content)), []);
  assert.ok(!JSON.stringify(content).includes('"use_latest":true'));
  assert.equal(content.allow_amend, false);
  assert.equal(content.environment.internet, false);
});

test("a STORE names its storage engine after the hash and pays with credits", () => {
  for (const [hash, engine] of [
    ["cafe".repeat(16), "storage"],
    ["QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH", "ipfs"],
  ] as const) {
    const content = toStoreContent(author, parseFileHash(hash));
    assert.equal(content.item_type, engine);
    assert.deepEqual(content.payment, { chain: "ETH", type: "credit" });
    assert.ok(readContent("STORE", content).ok);
  }
});
