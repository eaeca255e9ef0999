import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import type { Engine } from "../../../src/domain/engine.ts";
import { DEFAULT_SAMPLERS, type GenerateRequest, type SamplingOptions } from "../../../src/domain/generation.ts";
import { startDemoEngine } from "../../support/demo-engine.ts";
import { chatRequest, creative, greedy } from "../../support/demo-model.ts";
import { collect, doneOf, textOf, tokensOf } from "../../support/steps.ts";

const usual: SamplingOptions = { ...creative, temperature: 1, topK: 40, topP: 0.95, minP: 0.05 };
const SAMPLINGS: readonly (readonly [name: string, sampling: SamplingOptions])[] = [
  ["greedy", greedy],
  ["plain temperature", creative],
  ["the usual chain", usual],
  [
    "penalties and DRY",
    {
      ...usual,
      repeatPenalty: 1.2,
      presencePenalty: 0.3,
      dry: { multiplier: 1, base: 1.75, allowedLength: 2, lastN: -1, sequenceBreakers: ["\n"] },
    },
  ],
  ["XTC", { ...usual, xtcProbability: 0.5 }],
  ["mirostat 1", { ...creative, mirostat: { version: 1, tau: 4, eta: 0.1 } }],
  ["mirostat 2", { ...creative, mirostat: { version: 2, tau: 4, eta: 0.1 } }],
  ["typical-p", { ...creative, typicalP: 0.8 }],
  ["top-n-sigma", { ...creative, topNSigma: 1.5 }],
  ["dynamic temperature", { ...usual, dynatempRange: 0.7 }],
  ["adaptive-p", { ...usual, adaptiveP: { target: 0.4, decay: 0.9 }, samplers: [...DEFAULT_SAMPLERS, "adaptive_p"] }],
  ["another order", { ...usual, samplers: ["temperature", "min_p", "top_k"] }],
];

const system = { role: "system", content: "You are a kind fox named Ada who lives by the river. ".repeat(6) } as const;
const story = { role: "user", content: "Tell me a story about a fox named Ada." } as const;

describe("the same text, to the last bit of its probabilities, demo model", () => {
  let engine: Engine;
  before(async () => {
    engine = await startDemoEngine({ slots: 3, queueLength: 64 });
  });
  after(() => engine.close());

  const answerTo = async (request: GenerateRequest) => {
    const steps = await collect(engine, request);
    return { text: textOf(steps), tokens: tokensOf(steps), cached: doneOf(steps).usage.cachedTokens };
  };
  const same = (a: Awaited<ReturnType<typeof answerTo>>, b: Awaited<ReturnType<typeof answerTo>>, what: string) => {
    assert.equal(a.text, b.text, what);
    assert.deepEqual(a.tokens, b.tokens, what);
  };

  for (const [name, sampling] of SAMPLINGS) {
    for (const [kind, messages] of [
      ["short", [story]],
      ["long", [system, story]],
    ] as const) {
      test(`${name}, ${kind} prompt: cold, warm, under load, and as the next turn of a conversation`, async () => {
        const request = chatRequest(messages, { maxTokens: 40, topLogprobs: 2, sampling: { ...sampling, seed: 11n } });
        const cold = await answerTo({ ...request, reuse: false });
        assert.equal(cold.cached, 0);
        const warm = await answerTo(request);
        if (kind === "long") assert.ok(warm.cached > 0);
        same(warm, cold, "warm");

        const others = Array.from({ length: 5 }, (_, index) =>
          answerTo(
            chatRequest([{ role: "user", content: `${index} `.repeat(20 + 30 * index) }], {
              maxTokens: 10 + 9 * index,
              sampling: { ...usual, seed: BigInt(index) },
            }),
          ),
        );
        const loaded = await Promise.all([answerTo(request), answerTo({ ...request, reuse: false })]);
        for (const one of loaded) same(one, cold, "under load");
        await Promise.all(others);

        const next = chatRequest(
          [...messages, { role: "assistant", content: cold.text }, { role: "user", content: "Go on, please." }],
          {
            maxTokens: 30,
            topLogprobs: 2,
            sampling: { ...sampling, seed: 12n },
          },
        );
        await answerTo(request);
        const turn = await answerTo(next);
        same(turn, await answerTo({ ...next, reuse: false }), "next turn");
      });
    }
  }

  test("further choices are what they are without reuse", async () => {
    const request = chatRequest([system, story], {
      choices: 3,
      maxTokens: 20,
      topLogprobs: 1,
      sampling: { ...usual, seed: 3n },
    });
    const [warm, cold] = [await collect(engine, request), await collect(engine, { ...request, reuse: false })];
    for (const choice of [0, 1, 2]) assert.deepEqual(tokensOf(warm, choice), tokensOf(cold, choice));
  });
});
