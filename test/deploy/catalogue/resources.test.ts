import assert from "node:assert/strict";
import { test } from "node:test";

import { loadCatalogue } from "../../../deploy/catalogue/catalogue.ts";
import { explainResources, proposeResources } from "../../../deploy/catalogue/resources.ts";
import { kvBytesPerToken } from "../../../src/gguf/memory-budget.ts";

const shape = (
  requiredFileBytes: number,
  parameterCount: number,
  contextLength: number,
  blockCount: number,
  kvHeads: number,
  headLength: number,
  embeddingLength: number,
  vocabularySize: number,
) => ({
  requiredFileBytes,
  parameterCount,
  contextLength,
  blockCount,
  embeddingLength,
  vocabularySize,
  kvHeadsOfAllLayers: blockCount * kvHeads,
  keyLength: headLength,
  valueLength: headLength,
});

/** From the models' own configuration files. */
const models = {
  "aleph-tiny-chat": shape(2_187_008, 1_992_768, 2048, 5, 2, 32, 192, 2048),
  "qwen2.5-0.5b-instruct": shape(397_808_192, 494_032_768, 32_768, 24, 2, 64, 896, 151_936),
  "qwen3-0.6b": shape(639_446_688, 596_049_920, 40_960, 28, 8, 128, 1024, 151_936),
  "smollm2-1.7b-instruct": shape(1_055_609_536, 1_711_376_384, 8192, 24, 32, 64, 2048, 49_152),
  "qwen2.5-1.5b-instruct": shape(1_117_320_736, 1_543_714_304, 32_768, 28, 2, 128, 1536, 151_936),
  "smollm3-3b": shape(1_915_305_312, 3_075_098_624, 65_536, 36, 4, 128, 2048, 128_256),
  "openhermes-2.5": shape(4_368_450_304, 7_241_748_480, 32_768, 32, 8, 128, 4096, 32_002),
};
const qwen3 = models["qwen3-0.6b"];

test("each catalogue entry asks for what the formula gives for one slot", () => {
  for (const { id, memoryMiB } of loadCatalogue().entries) {
    assert.equal(proposeResources(models[id as keyof typeof models]).memoryMiB, memoryMiB, id);
  }
});

test("the cache of one token is counted over all layers, keys and values, two bytes each", () => {
  assert.equal(kvBytesPerToken(qwen3), 28 * 8 * (128 + 128) * 2);
  assert.equal(kvBytesPerToken({ ...qwen3, keyLength: undefined }), 2 * 28 * 1024 * 2);
});

for (const [title, wishes, expected] of [
  ["no wish", {}, { memoryMiB: 1536, vcpus: 2, contextLength: 4096, slots: 1 }],
  ["4 slots", { slots: 4 }, { memoryMiB: 3072, vcpus: 2, contextLength: 4096, slots: 4 }],
  ["a long context", { contextLength: 40_960 }, { memoryMiB: 5632, vcpus: 4, contextLength: 40_960, slots: 1 }],
] as const) {
  test(`qwen3-0.6b with ${title}`, () => {
    const { budget, ...proposed } = proposeResources(qwen3, wishes);
    assert.deepEqual(proposed, expected);
    assert.ok(budget.total <= expected.memoryMiB * 1024 * 1024);
  });
}

test("a model trained for less gets its own context length; a small one gets one vCPU", () => {
  const { contextLength, vcpus } = proposeResources(models["aleph-tiny-chat"]);
  assert.deepEqual([contextLength, vcpus], [2048, 1]);
});

test("memory that pays for more vCPUs brings them", () => {
  const { memoryMiB, vcpus } = proposeResources(models["openhermes-2.5"], { contextLength: 32_768, slots: 2 });
  assert.deepEqual([memoryMiB, vcpus], [13_056, 8]);
});

test("a wish for memory is followed down to what the model needs, and refused with the numbers below it", () => {
  assert.equal(proposeResources(qwen3, { memoryMiB: 1498 }).memoryMiB, 1498);
  assert.throws(() => proposeResources(qwen3, { memoryMiB: 1497 }), {
    code: "usage",
    message:
      "1497 MiB of memory are too few: the model with 1 × 4096 tokens takes 1,498 MiB: weights 610, " +
      "keys and values 448, computing 56, server 112, guest 64, system 208; " +
      "give more, or ask for a context length of at most 3840",
  });
  const shorter = proposeResources(qwen3, { memoryMiB: 1497, contextLength: 3840 });
  assert.equal(shorter.memoryMiB, 1497);
  assert.throws(() => proposeResources(qwen3, { memoryMiB: 1100, slots: 8 }), /--slots 1 and a context length of/);
  assert.throws(() => proposeResources(qwen3, { memoryMiB: 700 }), /take a smaller model or quantization/);
});

test("each number is explained: what was asked for, and what follows from the model", () => {
  const proposed = proposeResources(qwen3, { slots: 2 });
  assert.deepEqual(explainResources(qwen3, { slots: 2 }, proposed), [
    "context length 4096: the model was trained for 40960, and 4096 are enough for a conversation",
    "slots 2: as asked for; each keeps 448 MiB of keys and values (114,688 bytes a token)",
    "memory 2048 MiB: rounded up to 256; needed are 1,946 MiB: weights 610, keys and values 896, computing 56, " +
      "server 112, guest 64, system 208",
    "idle prefixes 156 MiB: half of what that leaves, for the evaluated tokens of conversations without a slot",
    "vCPUs 2: one for each 500 million of its 596 million weights, at most 4, and what 2048 MiB pay for anyway " +
      "(one for each 2048 MiB)",
    "threads 2: as many as vCPUs; more would wait for each other at every layer",
  ]);
});

test("wishes beyond the model are refused", () => {
  for (const wishes of [{ contextLength: 40_961 }, { contextLength: 0 }, { slots: 1.5 }, { slots: 65 }]) {
    assert.throws(() => proposeResources(qwen3, wishes), { code: "usage" });
  }
});

test("a program gets at least what the catalogue says, unless another memory is wished for", () => {
  const least = { leastMemoryMiB: 4608 };
  const proposed = proposeResources(qwen3, least);
  // What it pays for anyway comes with its processors.
  assert.deepEqual([proposed.memoryMiB, proposed.vcpus], [4608, 4]);
  assert.match(
    explainResources(qwen3, least, proposed).join("\n"),
    /memory 4608 MiB: the least that the catalogue gives/,
  );
  assert.equal(proposeResources(qwen3, { leastMemoryMiB: 256 }).memoryMiB, 1536);
  assert.equal(proposeResources(qwen3, { ...least, memoryMiB: 2048 }).memoryMiB, 2048);
});
