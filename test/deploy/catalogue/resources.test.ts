import assert from "node:assert/strict";
import { test } from "node:test";

import { loadCatalogue } from "../../../deploy/catalogue/catalogue.ts";
import { kvBytesPerToken, proposeResources } from "../../../deploy/catalogue/resources.ts";

const shape = (
  requiredFileBytes: number,
  parameterCount: number,
  contextLength: number,
  blockCount: number,
  kvHeads: number,
  headLength: number,
) => ({
  requiredFileBytes,
  parameterCount,
  contextLength,
  blockCount,
  embeddingLength: 1024,
  kvHeadsOfAllLayers: blockCount * kvHeads,
  keyLength: headLength,
  valueLength: headLength,
});

/** From the models' own configuration files. */
const models = {
  "aleph-tiny-chat": shape(2_187_008, 1_992_768, 2048, 5, 2, 32),
  "qwen2.5-0.5b-instruct": shape(397_808_192, 494_032_768, 32_768, 24, 2, 64),
  "qwen3-0.6b": shape(639_446_688, 596_049_920, 40_960, 28, 8, 128),
  "smollm2-1.7b-instruct": shape(1_055_609_536, 1_711_376_384, 8192, 24, 32, 64),
  "qwen2.5-1.5b-instruct": shape(1_117_320_736, 1_543_714_304, 32_768, 28, 2, 128),
  "smollm3-3b": shape(1_915_305_312, 3_075_098_624, 65_536, 36, 4, 128),
  "openhermes-2.5": shape(4_368_450_304, 7_241_748_480, 32_768, 32, 8, 128),
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
  ["no wish", {}, { memoryMiB: 1792, vcpus: 2, contextLength: 4096, slots: 1 }],
  ["4 slots", { slots: 4 }, { memoryMiB: 3072, vcpus: 2, contextLength: 4096, slots: 4 }],
  ["a long context", { contextLength: 40_960 }, { memoryMiB: 5632, vcpus: 4, contextLength: 40_960, slots: 1 }],
] as const) {
  test(`qwen3-0.6b with ${title}`, () => {
    assert.deepEqual(proposeResources(qwen3, wishes), expected);
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
  // 610 MiB of file, 448 MiB of keys and values, 512 MiB for the rest.
  assert.equal(proposeResources(qwen3, { memoryMiB: 1570 }).memoryMiB, 1570);
  assert.throws(() => proposeResources(qwen3, { memoryMiB: 1569 }), {
    code: "usage",
    message: /^1569 MiB of memory are too few: the model takes 1570 MiB with 1 × 4096 tokens/,
  });
});

test("wishes beyond the model are refused", () => {
  for (const wishes of [{ contextLength: 40_961 }, { contextLength: 0 }, { slots: 1.5 }, { slots: 65 }]) {
    assert.throws(() => proposeResources(qwen3, wishes), { code: "usage" });
  }
});
