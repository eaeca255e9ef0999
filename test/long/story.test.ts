import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { structureOf } from "../../scripts/story/names.ts";
import { playTranscript, TRANSCRIPT } from "../../scripts/story/transcript.ts";
import { cannotBuildRuntime, VM_PACKAGES } from "../support/vm-packages.ts";

test(
  "the story of docs/transcript.md can be played: every command ends and speaks as is written there",
  { skip: cannotBuildRuntime() },
  async () => {
    const played = await playTranscript(VM_PACKAGES);
    assert.equal(structureOf(played), structureOf(readFileSync(TRANSCRIPT, "utf8")), "npm run story");
  },
);

test("the transcript names no key, no hash, no machine's path", () => {
  const written = readFileSync(TRANSCRIPT, "utf8");
  assert.doesNotMatch(written, /0x[0-9a-f]{40}|\b[0-9a-f]{64}\b|\/tmp\/|\/home\/|\/root\//i);
});
