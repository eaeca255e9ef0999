import assert from "node:assert/strict";
import { test } from "node:test";

import { readGgufHeader } from "../../../src/gguf/gguf-header.ts";
import { idlePrefixBytes, longestContext, memoryBudget, MIB } from "../../../src/gguf/memory-budget.ts";
import { demoModelPath } from "../../support/demo-model.ts";

const header = readGgufHeader(demoModelPath);
/** Of Qwen2.5 0.5B in Q8_0, as scripts/make-model.ts writes it. */
const half = {
  requiredFileBytes: 529_168_096,
  parameterCount: 494_000_000,
  contextLength: 32_768,
  blockCount: 24,
  embeddingLength: 896,
  kvHeadsOfAllLayers: 48,
  keyLength: 64,
  valueLength: 64,
  vocabularySize: 151_936,
};

// Measured on 2 vCPUs: the server's largest resident size, all slots full. Source: docs/benchmarks.md.
for (const [name, model, use, measuredMiB] of [
  ["the demo model", header, { contextLength: 1024, slots: 4 }, 103],
  ["a 0.5B model", half, { contextLength: 1024, slots: 2 }, 651],
] as const) {
  test(`the server's part for ${name} is no less than was measured, and at most a quarter more`, () => {
    const { weights, cache, compute, server } = memoryBudget(model, use);
    const estimate = (weights + cache + compute + server) / MIB;
    assert.ok(estimate >= measuredMiB && estimate <= 1.25 * measuredMiB, `${estimate} MiB for ${measuredMiB}`);
  });
}

test("the parts make the total; the cache grows with slots and whole steps of 256 tokens", () => {
  const { total, processes, ...parts } = memoryBudget(half, { contextLength: 1000, slots: 3 });
  const sum = Object.values(parts).reduce((all, part) => all + part, 0);
  assert.equal(total, sum);
  assert.equal(processes, total - parts.system);
  assert.equal(parts.cache, 3 * 1024 * 12_288);
  assert.equal(memoryBudget(half, { contextLength: 1025, slots: 3 }).cache, 3 * 1280 * 12_288);
});

test("the longest context fits, and a step more does not", () => {
  for (const [slots, memoryMiB] of [
    [1, 1024],
    [4, 2048],
    [8, 1536],
  ] as const) {
    const contextLength = longestContext(half, slots, memoryMiB * MIB);
    assert.ok(contextLength > 0 && contextLength % 256 === 0);
    assert.ok(memoryBudget(half, { contextLength, slots }).total <= memoryMiB * MIB);
    assert.ok(memoryBudget(half, { contextLength: contextLength + 256, slots }).total > memoryMiB * MIB);
  }
  assert.equal(longestContext(half, 1, 512 * MIB), 0);
  assert.equal(longestContext(half, 1, 64_000 * MIB), 32_768);
});

test("states of conversations without a slot take half of what is left, and at most 2 GiB", () => {
  const use = { contextLength: 1024, slots: 2 };
  const { processes, compute } = memoryBudget(half, use);
  const embedding = 1024 * 12_288 + compute;
  assert.equal(idlePrefixBytes(half, use, processes + 300 * MIB), 150 * MIB);
  assert.equal(idlePrefixBytes(half, use, processes + embedding + 300 * MIB, true), 150 * MIB);
  assert.equal(idlePrefixBytes(half, use, processes + embedding, true), 0);
  assert.equal(idlePrefixBytes(half, use, processes), 0);
  assert.equal(idlePrefixBytes(half, use, 64_000 * MIB), 2048 * MIB);
});
