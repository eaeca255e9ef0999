import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import type { Engine } from "../../../src/domain/engine.ts";
import type { GenerateRequest } from "../../../src/domain/generation.ts";
import { whenIdle } from "../../support/api-fuzz.ts";
import { startDemoEngine } from "../../support/demo-engine.ts";
import { chatRequest, creative } from "../../support/demo-model.ts";
import { collect, textOf } from "../../support/steps.ts";

const long = "The old fox walked home along the wide river and thought of the lamp. ".repeat(90);
const endless = { sampling: { ...creative, ignoreEos: true }, maxTokens: 1500 };

const PHASES: readonly (readonly [phase: string, request: GenerateRequest])[] = [
  ["prompt", chatRequest(long)],
  ["prompt whose tokens are reported", chatRequest(long, { promptLogprobs: 5 })],
  ["answer", chatRequest("Tell me a story.", endless)],
  ["answer of several choices", chatRequest("Tell me a story.", { ...endless, choices: 6 })],
  ["answer under a grammar", chatRequest("Tell me a story.", { ...endless, grammar: "root ::= [a-z ]{1400}" })],
  [
    "answer under a grammar that sleeps",
    chatRequest("Hi", { ...endless, lazyGrammar: { triggers: ["e"], grammar: 'root ::= "e" [a-z]{1400}' } }),
  ],
  [
    "answer of a computed sampler",
    chatRequest("Hi", { ...endless, sampling: { ...endless.sampling, typicalP: 0.9 }, topLogprobs: 20 }),
  ],
];

describe("a client leaves, demo model", () => {
  let engine: Engine;
  before(async () => {
    engine = await startDemoEngine({ slots: 2, queueLength: 32 });
  });
  after(() => engine.close());

  for (const [phase, request] of PHASES) {
    for (const delayMs of [0, 1, 8, 40]) {
      test(`in the ${phase}, after ${delayMs} ms: slots are free again, and the next answer is right`, async () => {
        const running = Array.from({ length: 5 }, async () => {
          const leaving = new AbortController();
          if (delayMs === 0) leaving.abort();
          else setTimeout(() => leaving.abort(), delayMs);
          await assert.rejects(collect(engine, request, leaving.signal), { code: "client_left" });
        });
        // Two run and three wait.
        await Promise.all(running);
        await whenIdle(engine);
        assert.equal(engine.status().queued, 0);
        assert.equal(textOf(await collect(engine, chatRequest("Say this is a test"))), "This is a test.");
      });
    }
  }

  test("a reader that leaves its loop ends the computation like one that aborts", async () => {
    for (const [, request] of PHASES.slice(2)) {
      const { steps } = await engine.generate(request, new AbortController().signal);
      for await (const step of steps) if (step.type === "text") break;
      await whenIdle(engine);
    }
    assert.equal(textOf(await collect(engine, chatRequest("Say this is a test"))), "This is a test.");
  });
});
