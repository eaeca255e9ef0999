import assert from "node:assert/strict";
import { test } from "node:test";

import { availableMemory, noRoomForContext, requireMemory } from "../../../src/engine/memory-check.ts";
import { startEngine } from "../../../src/engine/load.ts";
import { readGgufHeader } from "../../../src/gguf/gguf-header.ts";
import { demoModelPath } from "../../support/demo-model.ts";

const MIB = 1024 * 1024;
const header = readGgufHeader(demoModelPath);
const use = { contextLength: 2048, slots: 4 };

test("a model that does not fit is refused before it is loaded, with the numbers", async () => {
  const engine = startEngine({
    modelPath: demoModelPath,
    modelId: "demo",
    aliases: [],
    contextLength: 2048,
    slots: 4,
    queueLength: 4,
    threads: 1,
    memoryMiB: 180,
  });
  await assert.rejects(engine.ready, {
    code: "config_invalid",
    message:
      /^this model with 4 × 2048 tokens needs 195 MiB: weights 3, keys and values 10, computing 7, server 112, guest 64; there are 180 MiB\. Give/,
  });
  await engine.close();
});

test("the least of what is told and what there is counts", () => {
  assert.equal(availableMemory(100), 100 * MIB);
  assert.ok(availableMemory(undefined) > 256 * MIB);
  assert.equal(availableMemory(1_048_576), availableMemory(undefined));
  requireMemory(header, use, availableMemory(undefined));
});

test("embeddings, which take a context of their own, are refused where only the slots have room", () => {
  assert.equal(noRoomForContext(header, use, 512 * MIB), undefined);
  assert.match(
    noRoomForContext(header, use, 200 * MIB) ?? "",
    /^embeddings need 9 MiB besides the slots, and \d MiB are left/,
  );
});
