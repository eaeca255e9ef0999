import assert from "node:assert/strict";
import { test } from "node:test";

import { choiceSeed, toSamplerConfig } from "../../../src/engine/sampling.ts";
import { toWindow } from "../../../src/engine/samplers/chain.ts";
import { creative } from "../../support/demo-model.ts";

const configOf = (over: Partial<typeof creative>) =>
  toSamplerConfig({ ...creative, ...over }, { seed: 1n, prompt: [5, 6, 7], contextLength: 2048, bias: new Map() });

test("the penalties' window is never longer than the context, for which memory is reserved", () => {
  const windows = [2, 4096, 2 ** 31 - 1, 2 ** 31, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER, -1].map(
    (repeatLastN) => configOf({ repeatPenalty: 1.5, repeatLastN }).repeatPenaltyMaxTokens,
  );
  assert.deepEqual(windows, [2, 2048, 2048, 2048, 2048, 2048, 2048]);
  assert.deepEqual([...configOf({ repeatPenalty: 1.5, repeatLastN: 2 }).repeatPenaltyTokens!], [6, 7]);
  assert.equal(configOf({ repeatPenalty: 1.5, repeatLastN: 0 }).repeatPenaltyMaxTokens, undefined);
});

test("the windows of computed samplers end with the context as well", () => {
  assert.deepEqual(
    [0, 2, -1, Number.MAX_SAFE_INTEGER].map((tokens) => toWindow(tokens, 2048)),
    [0, 2, 2048, 2048],
  );
});

test("a top-k beyond 32 bits keeps all candidates and is not cut to a small one", () => {
  assert.equal(configOf({ topK: 2 ** 32 + 5 }).topK, undefined);
  assert.equal(configOf({ topK: 5 }).topK, 5);
});

test("the choices of every seed differ", () => {
  for (const seed of [0n, 1n, 2n ** 53n + 1n, 2n ** 64n - 1n]) {
    assert.equal(new Set(Array.from({ length: 128 }, (_, choice) => choiceSeed(seed, choice))).size, 128);
  }
});
