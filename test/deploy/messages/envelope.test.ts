import assert from "node:assert/strict";
import { test } from "node:test";

import { readEnvelope, verificationText } from "../../../deploy/messages/envelope.ts";
import { VECTOR } from "./vector.ts";

test("the network's test vector is read, and gives the text its wallet signed", () => {
  const result = readEnvelope(VECTOR);
  assert.ok(result.ok);
  assert.equal(result.envelope.item_type, "inline");
  assert.equal(
    verificationText(result.envelope),
    "ETH\n0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A\nFORGET\n4cff3db9551ecfa2e9faad21512a0a0eb902a7bbef3ae978ca14427da7f047ab",
  );
});

for (const [what, change] of [
  ["of an unknown chain", { chain: "BTC" }],
  ["of an unknown type", { type: "VOTE" }],
  ["whose content was changed", { item_content: VECTOR.item_content.replace("reason", "season") }],
  ["whose content has other white space", { item_content: `${VECTOR.item_content} ` }],
  ["whose hash is upper case", { item_hash: VECTOR.item_hash.toUpperCase() }],
  ["that is stored and inline at once", { item_type: "storage" }],
  ["that is inline without content", { item_content: undefined, item_type: "inline" }],
  ["without a signature", { signature: undefined }],
  ["with a channel of 129 characters", { channel: "c".repeat(129) }],
  ["with a content of 200,001 characters", { item_content: "x".repeat(200_001) }],
] as const) {
  test(`an envelope ${what} is refused`, () => assert.equal(readEnvelope({ ...VECTOR, ...change }).ok, false));
}

test("unknown envelope keys are dropped, as the network does", () => {
  const result = readEnvelope({ ...VECTOR, content: { a: 1 }, extra: true });
  assert.ok(result.ok);
  assert.ok(!("extra" in result.envelope) && !("content" in result.envelope));
});
