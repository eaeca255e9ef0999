import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import type { Engine } from "../../../src/domain/engine.ts";
import { startEngine } from "../../../src/engine/load.ts";
import { chatRequest, creative } from "../../support/demo-model.ts";
import { collect, tokensOf } from "../../support/steps.ts";
import { makeWideModel } from "../../support/wide-model.ts";

describe("mirostat on a vocabulary of 152k tokens, random weights", () => {
  const file = makeWideModel();
  let engine: Engine;
  before(async () => {
    engine = startEngine({
      modelPath: file.path,
      modelId: "wide",
      aliases: [],
      contextLength: 1024,
      slots: 1,
      queueLength: 4,
      threads: 1,
    });
    await engine.ready;
  });
  after(async () => {
    await engine.close();
    file.remove();
  });

  for (const version of [1, 2] as const) {
    for (const tau of [2, 3, 4]) {
      test(`version ${version} holds the mean surprise of what it draws from near ${tau} bits`, async () => {
        const sampling = { ...creative, temperature: 1, ignoreEos: true, mirostat: { version, tau, eta: 0.1 } };
        const request = chatRequest("Hello", { maxTokens: 160, sampling, topLogprobs: 0, postSampling: true });
        const bits = tokensOf(await collect(engine, request))
          .slice(40)
          .map(({ logprob }) => -logprob / Math.LN2);
        const mean = bits.reduce((sum, surprise) => sum + surprise, 0) / bits.length;
        assert.ok(Math.abs(mean - tau) < 0.5, `${mean.toFixed(2)} bits`);
      });
    }
  }
});
