import assert from "node:assert/strict";
import { test } from "node:test";

import type { Generation } from "../../../src/domain/engine.ts";
import { CodedError } from "../../../src/domain/errors.ts";
import type { GenerateRequest, GenerationStep } from "../../../src/domain/generation.ts";
import { generateAll } from "../../../src/server/prompts.ts";
import { greedy } from "../../support/demo-model.ts";
import { FakeEngine, saying, type Script } from "../../support/fake-engine.ts";

const signal = new AbortController().signal;

function asking(...prompts: string[]): GenerateRequest[] {
  return prompts.map((text) => ({
    prompt: { kind: "text", parts: [text] },
    choices: 1,
    grammar: undefined,
    maxTokens: 5,
    stop: [],
    sampling: greedy,
    topLogprobs: undefined,
  }));
}

/** Takes one request at a time, as an engine whose queue is full does. */
class NarrowEngine extends FakeEngine {
  running = 0;
  refused = 0;

  override async generate(request: GenerateRequest, given: AbortSignal): Promise<Generation> {
    if (this.running > 0) {
      this.refused += 1;
      throw new CodedError("rate_limit_exceeded", "Busy.");
    }
    this.running += 1;
    const { promptTokens, steps } = await super.generate(request, given);
    return { promptTokens, steps: this.#count(steps) };
  }

  async *#count(steps: AsyncIterable<GenerationStep>): AsyncGenerator<GenerationStep> {
    try {
      yield* steps;
    } finally {
      this.running -= 1;
    }
  }
}

async function all(steps: AsyncIterable<GenerationStep>): Promise<GenerationStep[]> {
  const taken: GenerationStep[] = [];
  for await (const step of steps) taken.push(step);
  return taken;
}

test("steps of several prompts come as those of one request, with counts and times summed up", async () => {
  const engine = new FakeEngine({ script: saying("a", "b") });
  const { promptTokens, promptTokensEach, steps } = await generateAll(engine, asking("one", "three"), signal);
  assert.deepEqual([promptTokens, promptTokensEach], [8, [3, 5]]);
  const taken = await all(steps);
  assert.equal(taken[0]?.type, "started");
  assert.deepEqual(
    [0, 1].map((choice) => taken.filter((step) => "choice" in step && step.choice === choice).length),
    [3, 3],
  );
  assert.deepEqual(
    taken.flatMap((step) => (step.type === "started" ? [step.prompt] : [])),
    [0, 1],
  );
  assert.equal(taken.filter(({ type }) => type === "done").length, 1);
  const last = taken.at(-1)!;
  assert.ok(last.type === "done");
  assert.deepEqual(last.usage, { promptTokens: 6, cachedTokens: 2, completionTokens: 4 });
  assert.equal(last.timings.predictedMs, 16);
});

test("a queue that is full makes later prompts wait for earlier ones, and refuses only the first", async () => {
  const engine = new NarrowEngine();
  const { steps } = await generateAll(engine, asking("a", "b", "c"), signal);
  const finished = (await all(steps)).filter(({ type }) => type === "finish");
  assert.equal(finished.length, 3);
  assert.ok(engine.refused > 0);
  engine.running = 1;
  await assert.rejects(generateAll(engine, asking("a", "b"), signal), { code: "rate_limit_exceeded" });
});

test("a failure ends all prompts, also where several fail and nobody reads", async () => {
  const script: Script = [{ type: "started" }, { type: "text", choice: 0, text: "a" }, new Error("broken")];
  const { steps } = await generateAll(new FakeEngine({ script }), asking("a", "b", "c"), signal);
  const reader = steps[Symbol.asyncIterator]();
  await reader.next();
  // An unhandled rejection would end the process here.
  await new Promise((resolve) => setTimeout(resolve, 20));
  await assert.rejects(async () => {
    while ((await reader.next()).done !== true);
  }, /broken/);
});

test("a prompt beyond the context is refused before any of them starts", async () => {
  const engine = new FakeEngine();
  await assert.rejects(generateAll(engine, asking("a", "x".repeat(4096)), signal), {
    code: "context_length_exceeded",
    param: "prompt",
  });
  assert.equal(engine.requests.length, 0);
});
