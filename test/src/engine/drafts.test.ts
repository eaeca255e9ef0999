import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import type { Engine } from "../../../src/domain/engine.ts";
import {
  DEFAULT_SAMPLERS,
  type DraftLimits,
  type GenerateRequest,
  type SamplingOptions,
} from "../../../src/domain/generation.ts";
import { chooseSize, Drafter } from "../../../src/engine/drafts.ts";
import { Lookup } from "../../../src/engine/lookup.ts";
import { StepCosts } from "../../../src/engine/step-costs.ts";
import { startDemoEngine } from "../../support/demo-engine.ts";
import { chatRequest, creative, greedy } from "../../support/demo-model.ts";
import { collect, doneOf, finishOf, textOf, tokensOf } from "../../support/steps.ts";

describe("what repeats", () => {
  test("the longest repetition of the end is found, and what followed it", () => {
    const lookup = new Lookup([1, 2, 3, 4, 5, 9, 2, 3, 4, 6, 1, 2, 3, 4]);
    assert.deepEqual(lookup.find(3), { length: 4, following: [5, 9, 2] });
    lookup.push(7);
    assert.equal(lookup.find(3), undefined);
  });

  test("of repetitions of one length the latest counts, and two tokens are none", () => {
    assert.deepEqual(new Lookup([1, 2, 3, 4, 8, 1, 2, 3, 5, 9, 1, 2, 3]).find(2), { length: 3, following: [5, 9] });
    assert.equal(new Lookup([1, 2, 7, 1, 2]).find(2), undefined);
    assert.equal(new Lookup([]).find(2), undefined);
    assert.equal(new Lookup([1, 1, 1, 1]).find(0), undefined);
  });

  test("what repeats itself goes on doing so", () => {
    assert.deepEqual(new Lookup([1, 2, 1, 2, 1, 2]).find(5)?.following, [1, 2, 1, 2, 1]);
  });

  test("large token numbers whose keys meet are told apart", () => {
    const tokens = Array.from({ length: 3000 }, (_, index) => (index * 7919) % 262_144);
    const lookup = new Lookup([...tokens, ...tokens.slice(1000, 1010)]);
    assert.deepEqual(lookup.find(4), { length: 10, following: tokens.slice(1010, 1014) });
  });
});

describe("how much is guessed", () => {
  const known = new StepCosts();
  known.learn([1], 20);
  known.learn([5], 44);
  const proposal = (chance: number, length = 40) => ({ tokens: Array.from({ length }, () => 1), chance });

  test("long where guesses are good, not at all where they are bad", () => {
    const sizeAt = (chance: number) => chooseSize([{ certain: 1, proposal: proposal(chance) }], known);
    assert.equal(sizeAt(0.1), 0);
    assert.ok(sizeAt(0.7) >= 2);
    assert.ok(sizeAt(0.98) > sizeAt(0.7));
    assert.equal(chooseSize([{ certain: 1, proposal: undefined }], known), 0);
  });

  test("beside streams that guess nothing a further pass has to pay", () => {
    const others = Array.from({ length: 7 }, () => ({ certain: 1, proposal: undefined }));
    assert.equal(chooseSize([...others, { certain: 1, proposal: proposal(0.7) }], known), 0);
  });

  test("a drafter learns, and tries again after a while", () => {
    const drafter = new Drafter([1, 2, 3, 4, 1, 2, 3]);
    const first = drafter.propose(8)!.chance;
    drafter.learn(3, 0);
    const second = drafter.propose(8)!.chance;
    assert.ok(second < first);
    for (let step = 0; step < 500; step++) drafter.learn(0, 0);
    assert.ok(drafter.propose(8)!.chance > second);
  });
});

const usual: SamplingOptions = { ...creative, temperature: 1, topK: 40, topP: 0.95, minP: 0.05 };
const SAMPLINGS: readonly (readonly [name: string, sampling: SamplingOptions])[] = [
  ["greedy", greedy],
  ["plain temperature", { ...creative, temperature: 0.6 }],
  ["the usual chain", { ...usual, temperature: 0.7 }],
  [
    "penalties and DRY",
    {
      ...usual,
      repeatPenalty: 1.05,
      presencePenalty: 0.1,
      dry: { multiplier: 0.1, base: 1.1, allowedLength: 8, lastN: -1, sequenceBreakers: ["\n"] },
    },
  ],
  ["XTC", { ...usual, xtcProbability: 0.1 }],
  ["mirostat 1", { ...creative, mirostat: { version: 1, tau: 1, eta: 0.1 } }],
  ["mirostat 2", { ...creative, mirostat: { version: 2, tau: 1, eta: 0.1 } }],
  ["typical-p", { ...creative, typicalP: 0.5 }],
  ["top-n-sigma", { ...creative, topNSigma: 0.5 }],
  ["dynamic temperature", { ...usual, dynatempRange: 0.3 }],
  ["adaptive-p", { ...usual, adaptiveP: { target: 0.8, decay: 0.9 }, samplers: [...DEFAULT_SAMPLERS, "adaptive_p"] }],
];
const SAID = "The quick brown fox jumps over the lazy dog and then it sleeps under the old oak tree.";

describe("the same text with guesses and without, demo model", () => {
  let engine: Engine;
  before(async () => {
    engine = await startDemoEngine({ slots: 4, queueLength: 64 });
  });
  after(() => engine.close());

  const answerTo = async (request: GenerateRequest) => {
    const steps = await collect(engine, request);
    const { usage, timings } = doneOf(steps);
    return { text: textOf(steps), tokens: tokensOf(steps), reason: finishOf(steps), usage, timings };
  };
  /** The answer's own text comes twice in the prompt: that is what it most likely repeats. */
  const repeating = (options: Partial<GenerateRequest>) => {
    const messages = [
      { role: "user", content: SAID },
      { role: "assistant", content: SAID },
      { role: "user", content: SAID },
      { role: "assistant", content: SAID.slice(0, 30) },
    ] as const;
    const request = chatRequest(messages, { maxTokens: 60, ...options });
    return { ...request, prompt: { kind: "chat", messages, ending: "continue" } as const };
  };

  for (const [name, sampling] of SAMPLINGS) {
    test(`${name}: text, probabilities and end, alone and under load`, async () => {
      const request = repeating({ topLogprobs: 2, choices: 1, sampling: { ...sampling, seed: 3n, ignoreEos: true } });
      const plain = await answerTo({ ...request, draft: { most: 0 } });
      assert.equal(plain.timings.draftedTokens, 0);
      const guessed = await answerTo({ ...request, draft: { least: 6 } });
      assert.ok(guessed.timings.draftedTokens! > 0);
      assert.ok(guessed.timings.draftedTokens! >= guessed.timings.acceptedTokens!);
      const others = Array.from({ length: 3 }, (_, seed) =>
        answerTo(repeating({ maxTokens: 25, sampling: { ...usual, seed: BigInt(seed) } })),
      );
      for (const answer of [guessed, await answerTo(request), await answerTo({ ...request, draft: { least: 3 } })]) {
        assert.equal(answer.text, plain.text);
        assert.deepEqual(answer.tokens, plain.tokens);
        assert.equal(answer.reason, plain.reason);
        assert.equal(answer.usage.completionTokens, plain.usage.completionTokens);
      }
      await Promise.all(others);
    });
  }

  test("what repeats takes fewer batches than tokens, and the guesses are counted", async () => {
    const question = { role: "user", content: "Tell me a story about a fox named Ada." } as const;
    const said = await answerTo(chatRequest([question]));
    const messages = [question, { role: "assistant", content: said.text } as const, question];
    const request = chatRequest(messages, { draft: { least: 8 } });
    await answerTo({ ...request, maxTokens: 1 });
    const batchesBefore = engine.status().batches;
    const { text, timings, usage } = await answerTo(request);
    const batches = engine.status().batches - batchesBefore;
    assert.equal(text, (await answerTo({ ...request, draft: { most: 0 } })).text);
    const { draftedTokens = 0, acceptedTokens = 0 } = timings;
    assert.ok(acceptedTokens * 2 > usage.completionTokens, `${acceptedTokens} of ${usage.completionTokens} tokens`);
    assert.ok(draftedTokens >= acceptedTokens);
    assert.ok(batches <= usage.completionTokens - acceptedTokens + 3, `${batches} batches`);
  });

  test("a limit and a stop sequence are met inside of a guess", async () => {
    const sampling = { ...greedy, ignoreEos: true };
    for (const maxTokens of [1, 2, 3, 5, 8, 13, 21, 34]) {
      const { usage, reason } = await answerTo(repeating({ maxTokens, sampling, draft: { least: 8 } }));
      assert.deepEqual([usage.completionTokens, reason], [maxTokens, "length"]);
    }
    const { text } = await answerTo(repeating({ maxTokens: 100, sampling, draft: { most: 0 } }));
    for (const stop of [text.slice(20, 24), text.slice(50, 53), text.slice(70, 75)]) {
      const plain = await answerTo(repeating({ maxTokens: 100, sampling, stop: [stop], draft: { most: 0 } }));
      const guessed = await answerTo(repeating({ maxTokens: 100, sampling, stop: [stop], draft: { least: 8 } }));
      assert.equal(guessed.text, plain.text);
      assert.equal(guessed.reason, "stop");
    }
  });

  test("an answer to the context's end fills it, whatever is guessed", async () => {
    const small = await startDemoEngine({ slots: 1, contextLength: 256 });
    const request = repeating({ maxTokens: undefined, draft: { least: 8 }, sampling: { ...greedy, ignoreEos: true } });
    const { usage } = doneOf(await collect(small, request));
    await small.close();
    assert.equal(usage.promptTokens + usage.completionTokens, 256);
  });

  test("sixteen streams guess together while prompts come, and fit their batches", async () => {
    const many = await startDemoEngine({ slots: 16, queueLength: 32 });
    const question = { role: "user", content: "Tell me a story about a fox named Ada." } as const;
    const said = textOf(await collect(many, chatRequest([question])));
    const messages = [question, { role: "assistant", content: said } as const, question];
    const sampling = { ...greedy, ignoreEos: true };
    const answers = (draft: DraftLimits) =>
      Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          collect(many, chatRequest(messages, { maxTokens: 40 + index, draft, sampling })),
        ),
      );
    const guessed = await answers({ least: 32 });
    const plain = await answers({ most: 0 });
    await many.close();
    assert.deepEqual(guessed.map(textOf), plain.map(textOf));
    assert.ok(guessed.every((steps) => doneOf(steps).timings.acceptedTokens! > 0));
  });

  test("the next turn finds only what was said", async () => {
    const request = repeating({ maxTokens: 40, draft: { least: 8 }, sampling: { ...greedy, ignoreEos: true } });
    await answerTo(request);
    const cold = await answerTo({ ...request, reuse: false });
    const warm = await answerTo(request);
    assert.equal(warm.text, cold.text);
  });
});
