/** What a whole answer may report of probabilities, before its memory or its JSON have no room for them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import supertest from "supertest";

import type { GenerationStep, TokenChance } from "../../../src/domain/generation.ts";
import { limitReport, MOST_REPORTED } from "../../../src/server/report-limit.ts";
import { done, FakeEngine } from "../../support/fake-engine.ts";
import { appOf } from "../../support/server.ts";

const likely = { id: 1, text: "a", bytes: [97], logprob: -1 };
const reporting = (top: number): GenerationStep => {
  const token: TokenChance = { ...likely, top: Array.from({ length: top }, () => likely) };
  return { type: "text", choice: 0, text: "a", tokens: [token] };
};

test("steps pass up to the limit, and the one beyond it ends the generation with a refusal", async () => {
  let stopped = false;
  async function* steps(): AsyncGenerator<GenerationStep> {
    try {
      for (;;) yield reporting(4);
    } finally {
      stopped = true;
    }
  }
  const passed: GenerationStep[] = [];
  const read = async () => {
    for await (const step of limitReport(steps(), 12)) passed.push(step);
  };
  await assert.rejects(read(), { code: "invalid_value" });
  assert.deepEqual([passed.length, stopped], [2, true]);
});

test("an answer of more probabilities than JSON can hold is refused in words, never a fault", async () => {
  const big = reporting(4096);
  const count = Math.ceil(MOST_REPORTED / 4096) + 1;
  const script = [
    { type: "started" } as const,
    ...Array.from({ length: count }, () => big),
    { type: "finish", choice: 0, reason: "stop" } as const,
    done(count),
  ];
  const app = appOf(new FakeEngine({ script }));
  const body = { prompt: "a", n_probs: 4096 };
  const { body: answer } = await supertest(app).post("/completion").send(body).expect(400);
  assert.equal((answer as { error: { code: string } }).error.code, "invalid_value");
});
