import assert from "node:assert/strict";
import { setMaxListeners } from "node:events";
import { after, before, describe, test } from "node:test";

import type { Engine } from "../../../src/domain/engine.ts";
import {
  DEFAULT_SAMPLERS,
  type GenerateRequest,
  type GenerationStep,
  type SamplingOptions,
  type TokenChance,
} from "../../../src/domain/generation.ts";
import { startEngine } from "../../../src/engine/load.ts";
import { chatRequest, creative, demoModelPath, greedy } from "../../support/demo-model.ts";

const never = new AbortController().signal;
setMaxListeners(0, never);
const story = "Tell me a story about a fox named Ada.";
const usual: SamplingOptions = { ...creative, temperature: 1, topK: 40, topP: 0.95, minP: 0.05 };

const samplings: readonly (readonly [name: string, sampling: SamplingOptions])[] = [
  ["mirostat 1", { ...creative, mirostat: { version: 1, tau: 5, eta: 0.1 } }],
  ["mirostat 2", { ...creative, mirostat: { version: 2, tau: 5, eta: 0.1 } }],
  ["typical-p", { ...creative, typicalP: 0.8 }],
  ["top-n-sigma", { ...creative, topNSigma: 1.5 }],
  ["dynamic temperature", { ...usual, dynatempRange: 0.7, dynatempExponent: 1.5 }],
  ["adaptive-p", { ...usual, adaptiveP: { target: 0.4, decay: 0.9 }, samplers: [...DEFAULT_SAMPLERS, "adaptive_p"] }],
  ["min_keep", { ...usual, topP: 0.1, minKeep: 5 }],
  ["temperature before truncation", { ...usual, temperature: 2, samplers: ["temperature", "top_p", "xtc", "min_p"] }],
  [
    "penalties and DRY after truncation",
    {
      ...usual,
      repeatPenalty: 1.3,
      repeatLastN: -1,
      dry: { multiplier: 2, base: 1.75, allowedLength: 1, lastN: -1, sequenceBreakers: ["\n", ". "] },
      samplers: ["top_k", "penalties", "dry", "temperature", "top_k"],
    },
  ],
  ["raising penalties", { ...creative, presencePenalty: -1, typicalP: 0.9 }],
];

async function collect(engine: Engine, request: GenerateRequest): Promise<GenerationStep[]> {
  const steps: GenerationStep[] = [];
  for await (const step of (await engine.generate(request, never)).steps) steps.push(step);
  return steps;
}
function textOf(steps: readonly GenerationStep[], choice = 0): string {
  return steps.map((step) => (step.type === "text" && step.choice === choice ? step.text : "")).join("");
}
function tokensOf(steps: readonly GenerationStep[], choice = 0): TokenChance[] {
  return steps.flatMap((step) => (step.type === "text" && step.choice === choice ? (step.tokens ?? []) : []));
}
function countOf(steps: readonly GenerationStep[]): number {
  const last = steps.at(-1);
  return last?.type === "done" ? last.usage.completionTokens : assert.fail("not done");
}
const joined = (tokens: readonly TokenChance[]) => Buffer.from(tokens.flatMap(({ bytes }) => bytes)).toString();

describe("computed samplers, demo model", () => {
  let engine: Engine;
  before(async () => {
    engine = startEngine({
      modelPath: demoModelPath,
      modelId: "demo",
      aliases: [],
      contextLength: undefined,
      slots: 4,
      queueLength: 32,
      threads: 1,
    });
    await engine.ready;
  });
  after(() => engine.close());

  for (const [name, sampling] of samplings) {
    test(`${name}: same seed, same text, alone, warm and under load; choices and other seeds differ`, async () => {
      const request = chatRequest(story, { choices: 3, maxTokens: 40, sampling });
      const textsOf = async (asked: GenerateRequest) => {
        const steps = await collect(engine, asked);
        return [0, 1, 2].map((choice) => textOf(steps, choice));
      };
      const alone = await textsOf(request);
      assert.equal(new Set(alone).size, 3);
      const [loaded, , , other] = await Promise.all([
        textsOf(request),
        textsOf(chatRequest("Count to 5.", { choices: 3, maxTokens: 30, sampling: creative })),
        textsOf(chatRequest(story, { choices: 2, maxTokens: 30, sampling: usual })),
        textsOf({ ...request, sampling: { ...sampling, seed: 8n } }),
      ]);
      assert.deepEqual(loaded, alone);
      assert.notDeepEqual(other, alone);
    });
  }

  for (const version of [1, 2] as const) {
    for (const tau of [0.8, 1, 1.2]) {
      test(`mirostat ${version} holds the mean surprise of the model's tokens near ${tau} bits`, async () => {
        const sampling = { ...creative, temperature: 1, ignoreEos: true, mirostat: { version, tau, eta: 0.1 } };
        const request = chatRequest(story, { choices: 4, maxTokens: 200, sampling, topLogprobs: 0 });
        const steps = await collect(engine, request);
        // At temperature 1 this model's tokens surprise by 1.6 bits, which truncation can only lower.
        // The model's own surprise is a little larger than the one after truncation, which mirostat steers by.
        const bits = [0, 1, 2, 3].flatMap((choice) =>
          tokensOf(steps, choice)
            .slice(50)
            .map(({ logprob }) => -logprob / Math.LN2),
        );
        const mean = bits.reduce((sum, surprise) => sum + surprise, 0) / bits.length;
        assert.ok(mean > tau - 0.4 && mean < tau + 0.6, `${mean.toFixed(2)} bits`);
      });
    }
  }

  test("temperature 0 is greedy with any sampler, and so is a top_k of 1 in any order", async () => {
    const best = textOf(await collect(engine, chatRequest("Say this is a test")));
    const settings: Partial<SamplingOptions>[] = [
      { temperature: 0, mirostat: { version: 2, tau: 5, eta: 0.1 } },
      { temperature: 0, typicalP: 0.2 },
      { temperature: 0, dynatempRange: 1 },
      { temperature: 2, topK: 1, samplers: ["temperature", "top_k"] },
    ];
    for (const setting of settings) {
      const request = chatRequest("Say this is a test", { sampling: { ...creative, ...setting } });
      assert.equal(textOf(await collect(engine, request)), best);
    }
  });

  test("a sampler that is not named does not act", async () => {
    const sampling: SamplingOptions = { ...creative, temperature: 2, topK: 1 };
    const best = textOf(await collect(engine, chatRequest(story, { maxTokens: 30, sampling })));
    const without: SamplingOptions = { ...sampling, samplers: ["temperature"] };
    assert.notEqual(textOf(await collect(engine, chatRequest(story, { maxTokens: 30, sampling: without }))), best);
  });

  test("penalties computed here give what the native ones give", async () => {
    const penalties = {
      repeatPenalty: 1.6,
      frequencyPenalty: 0.8,
      presencePenalty: 0.4,
      repeatLastN: 32,
      dry: { multiplier: 3, base: 2, allowedLength: 1, lastN: -1, sequenceBreakers: ["\n", "."] },
      ignoreEos: true,
    };
    for (const content of [story, "Say this is a test", "Repeat after me: ha ha ha ha"]) {
      const native = chatRequest(content, { maxTokens: 120, sampling: { ...greedy, ...penalties } });
      // A top-k of 1 at the end is greedy too, but the native chain does not have it there.
      const samplers = ["penalties", "dry", "temperature", "top_k"] as const;
      const computed = { ...creative, ...penalties, topK: 1, samplers };
      assert.equal(
        textOf(await collect(engine, { ...native, sampling: computed })),
        textOf(await collect(engine, native)),
      );
    }
  });

  test("a forbidden token stays so with a computed sampler", async () => {
    const sampling: SamplingOptions = {
      ...creative,
      typicalP: 0.9,
      ignoreEos: true,
      logitBias: [{ text: "e", bias: -Infinity }],
    };
    const steps = await collect(engine, chatRequest(story, { maxTokens: 80, sampling, topLogprobs: 0 }));
    assert.equal(countOf(steps), 80);
    assert.ok(tokensOf(steps).every(({ text }) => text !== "e"));
  });

  test("log probabilities are the model's own, whatever the samplers, in falling order and summing to one", async () => {
    const request = chatRequest("Say this is a test", { topLogprobs: 20 });
    const plain = tokensOf(await collect(engine, request));
    const sampling: SamplingOptions = { ...greedy, repeatPenalty: 1.01, logitBias: [{ token: 48, bias: -3 }] };
    assert.deepEqual(tokensOf(await collect(engine, { ...request, sampling })), plain);
    for (const { top, text, logprob } of plain) {
      assert.equal(top.length, 20);
      assert.deepEqual(top[0], { id: top[0]!.id, text, logprob, bytes: top[0]!.bytes });
      assert.deepEqual(
        top.map((token) => token.logprob),
        top.map((token) => token.logprob).sort((a, b) => b - a),
      );
      const mass = top.reduce((sum, token) => sum + Math.exp(token.logprob), 0);
      assert.ok(mass > 0.5 && mass < 1 + 1e-4, `${mass}`);
    }
  });

  test("each token's report travels with its text, and the bytes join to it", async () => {
    const phrases = ["Repeat after me: 🦊 naïve café 🌍", story];
    for (const content of phrases) {
      for (const sampling of [greedy, creative, samplings[1]![1]]) {
        const steps = await collect(engine, chatRequest(content, { sampling, maxTokens: 60, topLogprobs: 1 }));
        const text = textOf(steps);
        if (!text.includes("\uFFFD")) assert.equal(joined(tokensOf(steps)), text);
        for (const step of steps) {
          if (step.type !== "text") continue;
          assert.ok(step.tokens !== undefined && step.tokens.length > 0);
          for (const token of step.tokens) assert.ok(!token.text.includes("\uFFFD") && token.top.length === 1);
        }
      }
    }
  });

  test("a token for each one counted; the end token is left out, and so are those that a stop sequence cuts", async () => {
    const request = chatRequest("Say this is a test", { topLogprobs: 0 });
    const steps = await collect(engine, request);
    assert.equal(tokensOf(steps).length, countOf(steps));
    assert.equal(joined(tokensOf(steps)), "This is a test.");
    const cut = await collect(engine, { ...request, stop: [" a te"] });
    assert.equal(textOf(cut), "This is");
    assert.equal(joined(tokensOf(cut)), "This is");
  });

  test("without log probabilities no step has any", async () => {
    assert.deepEqual(tokensOf(await collect(engine, chatRequest(story, { maxTokens: 5 }))), []);
  });
});
