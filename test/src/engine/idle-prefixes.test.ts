/** Conversations that outnumber the slots: what comes back from memory is what was computed. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import type { Engine } from "../../../src/domain/engine.ts";
import type { ChatMessage, SamplingOptions } from "../../../src/domain/generation.ts";
import { startEngine } from "../../../src/engine/load.ts";
import { StateFiles } from "../../../src/engine/state-files.ts";
import { chatRequest, creative, demoModelPath, greedy } from "../../support/demo-model.ts";
import { collect, doneOf, textOf, tokensOf } from "../../support/steps.ts";
import { makeModel } from "../../support/wide-model.ts";

const CONVERSATIONS = 12;
const skip = StateFiles.open() === undefined && "this system has no file system in memory that files are reached in";
const usual: SamplingOptions = { ...creative, temperature: 1, topK: 40, topP: 0.95, minP: 0.05 };

/** No two have a word in common before their ninth. */
function opening(index: number): ChatMessage[] {
  const name = ["Ada", "Bo", "Cy", "Dee", "Eli", "Fay", "Gus", "Hal", "Ivy", "Jo", "Kit", "Lou"][index]!;
  return [
    { role: "system", content: `${name} number ${index} is a kind fox who lives by the river ${name}. `.repeat(8) },
    { role: "user", content: `Tell me a story about a fox named ${name}.` },
  ];
}

async function start(modelPath: string, slots: number, idlePrefixMiB?: number): Promise<Engine> {
  const engine = startEngine({
    modelPath,
    modelId: "model",
    aliases: [],
    contextLength: 2048,
    slots,
    queueLength: 64,
    threads: 1,
    idlePrefixMiB,
  });
  await engine.ready;
  return engine;
}

async function answer(
  engine: Engine,
  messages: readonly ChatMessage[],
  sampling: SamplingOptions,
  more: { readonly reuse?: boolean } = {},
) {
  const request = chatRequest(messages, {
    maxTokens: 12,
    topLogprobs: 2,
    sampling: { ...sampling, seed: 5n },
    ...more,
  });
  const steps = await collect(engine, request);
  const { cachedTokens, promptTokens } = doneOf(steps).usage;
  return { text: textOf(steps), tokens: tokensOf(steps), cachedTokens, promptTokens };
}

function said({ text, tokens }: Awaited<ReturnType<typeof answer>>) {
  return { text, tokens };
}

const nextTurn = (messages: readonly ChatMessage[], text: string): ChatMessage[] => [
  ...messages,
  { role: "assistant", content: text },
  { role: "user", content: "Go on, please." },
];

describe("12 conversations through 4 slots, demo model", { skip }, () => {
  let engine: Engine;
  before(async () => {
    engine = await start(demoModelPath, 4);
  });
  after(() => engine.close());

  for (const [name, sampling] of [
    ["greedy", greedy],
    ["seeded", usual],
  ] as const) {
    test(`every turn is what it is without reuse, and begins with its own tokens (${name})`, async () => {
      let conversations = Array.from({ length: CONVERSATIONS }, (_, index) => opening(index));
      const lengths = Array.from({ length: CONVERSATIONS }, () => 0);
      const restoredBefore = engine.status().idlePrefixes.restored;
      for (let turn = 0; turn < 3; turn++) {
        const next: ChatMessage[][] = [];
        for (const [index, messages] of conversations.entries()) {
          const warm = await answer(engine, messages, sampling);
          const cold = await answer(engine, messages, sampling, { reuse: false });
          assert.equal(cold.cachedTokens, 0);
          assert.deepEqual(said(warm), said(cold), `turn ${turn} of conversation ${index}`);
          if (turn > 0) {
            assert.ok(warm.cachedTokens >= lengths[index]! - 64, `${warm.cachedTokens} of ${lengths[index]} reused`);
            assert.ok(warm.cachedTokens <= lengths[index]!, "no more than its last turn had in common with it");
          }
          lengths[index] = warm.promptTokens;
          next.push(nextTurn(messages, warm.text));
        }
        conversations = next;
      }
      const { restored, count, bytes } = engine.status().idlePrefixes;
      assert.ok(restored - restoredBefore >= CONVERSATIONS, `${restored} brought back`);
      assert.ok(count >= CONVERSATIONS - 4 && bytes > 0);
      assert.equal(engine.status().slots.length, 4);
    });
  }

  test("the same when all come at once", async () => {
    const conversations = Array.from({ length: CONVERSATIONS }, (_, index) => opening(index));
    const first = await Promise.all(conversations.map((messages) => answer(engine, messages, usual)));
    const next = conversations.map((messages, index) => nextTurn(messages, first[index]!.text));
    const together = await Promise.all(next.map((messages) => answer(engine, messages, usual)));
    for (const [index, messages] of next.entries()) {
      const alone = await answer(engine, messages, usual, { reuse: false });
      assert.deepEqual(said(together[index]!), said(alone), `conversation ${index}`);
    }
  });
});

test("an erased slot's conversation is not kept outside of it either, and others are", { skip }, async () => {
  const engine = await start(demoModelPath, 1);
  const [one, other] = [opening(0), opening(1)];
  for (const messages of [one, other, one]) await answer(engine, messages, greedy);
  assert.equal(engine.status().idlePrefixes.restored, 1);
  assert.ok((await engine.eraseSlot(0)) > 0);
  assert.ok((await answer(engine, other, greedy)).cachedTokens > 50);
  assert.ok((await answer(engine, one, greedy)).cachedTokens < 10);
  await engine.close();
});

test("an engine that may keep nothing keeps nothing", async () => {
  const engine = await start(demoModelPath, 1, 0);
  const [one, other] = [opening(0), opening(1)];
  await answer(engine, one, greedy);
  await answer(engine, other, greedy);
  const { cachedTokens } = await answer(engine, one, greedy);
  assert.ok(cachedTokens < 10, `${cachedTokens} reused`);
  assert.deepEqual(engine.status().idlePrefixes, { count: 0, bytes: 0, restored: 0 });
  await engine.close();
});

test("a larger model answers from a state that came back as from one that never left its slot", { skip }, async () => {
  const model = makeModel("small");
  const [few, many] = [await start(model.path, 2, 64), await start(model.path, CONVERSATIONS, 0)];
  try {
    let conversations = Array.from({ length: CONVERSATIONS }, (_, index) => opening(index));
    for (let turn = 0; turn < 3; turn++) {
      const next: ChatMessage[][] = [];
      for (const [index, messages] of conversations.entries()) {
        const sampling = index % 2 === 0 ? greedy : usual;
        const moved = await answer(few, messages, sampling);
        const stayed = await answer(many, messages, sampling);
        assert.deepEqual(said(moved), said(stayed), `turn ${turn} of conversation ${index}`);
        if (turn > 0) assert.equal(moved.cachedTokens, stayed.cachedTokens);
        next.push(nextTurn(messages, moved.text));
      }
      conversations = next;
    }
    assert.ok(few.status().idlePrefixes.restored >= 2 * CONVERSATIONS);
    assert.ok(few.status().idlePrefixes.bytes <= 64 * 1024 * 1024);
    assert.equal(many.status().idlePrefixes.count, 0);
  } finally {
    await Promise.all([few.close(), many.close()]);
    model.remove();
  }
});
