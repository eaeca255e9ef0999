/** The scheduler over a memory that is kept in plain arrays: what it believes of a sequence must be what it holds. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";

import type { FinishReason } from "../../../src/domain/generation.ts";
import { BATCH_TOKENS, Scheduler } from "../../../src/engine/batch.ts";
import { IdlePrefixes } from "../../../src/engine/idle-prefixes.ts";
import type { Job } from "../../../src/engine/job.ts";
import type { NativeContext, Token } from "../../../src/engine/native.ts";
import type { Sampler } from "../../../src/engine/sampler.ts";
import { StateFiles } from "../../../src/engine/state-files.ts";

const END = 0;

/** Numbers that look random and always come in the same order. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** The fake model's next token: it depends on everything before it. */
function nextToken(tokens: readonly Token[]): Token {
  let hash = 7;
  for (const token of tokens) hash = (Math.imul(hash, 31) + token + 1) >>> 0;
  return (hash >>> 8) % 40;
}

function answerTo(prompt: readonly Token[], limit: number): Token[] {
  const tokens = [...prompt];
  while (tokens.length < prompt.length + limit) {
    const token = nextToken(tokens);
    if (token === END) break;
    tokens.push(token);
  }
  return tokens.slice(prompt.length);
}

class FakeContext implements NativeContext {
  readonly batches: { sequence: number; tokens: number }[][] = [];
  /** Thrown by the next decode. */
  fault: Error | undefined;
  decodeMs = 0;
  /** As of a model whose state is a sum over all tokens. */
  isRecurrent = false;
  /** How many of a hundred saved or loaded states fail. */
  stateFaults = 0;
  readonly #random = randomOf(99);
  readonly #sequences = new Map<number, Token[]>();
  #batch: { sequence: number; tokens: Token[] }[] = [];
  #rows: number[] = [];

  init = async () => true;
  dispose = async () => undefined;
  initBatch(tokens: number): void {
    assert.ok(tokens > 0 && tokens <= BATCH_TOKENS);
    this.#batch = [];
    this.#rows = [];
  }
  addToBatch(sequence: number, position: number, tokens: Uint32Array, withLogits: Uint32Array): Uint32Array {
    const held = this.#held(sequence);
    assert.equal(position, held.length, "a piece goes exactly behind what the sequence holds");
    this.#batch.push({ sequence, tokens: [...tokens] });
    if (withLogits.length === 0) return new Uint32Array(0);
    assert.deepEqual([...withLogits], [tokens.length - 1]);
    return Uint32Array.of(this.#rows.push(sequence) - 1);
  }
  async decodeBatch(): Promise<void> {
    await (this.decodeMs > 0 ? sleep(this.decodeMs) : new Promise(setImmediate));
    const { fault } = this;
    this.fault = undefined;
    if (fault !== undefined) throw fault;
    for (const { sequence, tokens } of this.#batch) this.#held(sequence).push(...tokens);
    this.batches.push(this.#batch.map(({ sequence, tokens }) => ({ sequence, tokens: tokens.length })));
  }
  sampleToken = async (): Promise<never> => assert.fail("jobs' samplers choose");
  getEmbedding = (): never => assert.fail("embeddings have a context of their own");
  async choose(row: number): Promise<Token> {
    await new Promise(setImmediate);
    return nextToken(this.#held(this.#rows[row]!));
  }
  removeTokenCellsFromSequence(sequence: number, from: number): boolean {
    if (this.isRecurrent) return false;
    this.#held(sequence).length = from;
    return true;
  }
  disposeSequence(sequence: number): void {
    this.#sequences.delete(sequence);
  }
  async copySequenceStateFromOtherSequence(target: number, source: number): Promise<number> {
    await new Promise(setImmediate);
    this.#sequences.set(target, [...this.#held(source)]);
    return 0;
  }
  async saveSequenceStateToFile(path: string, sequence: number): Promise<number> {
    await new Promise(setImmediate);
    const state = JSON.stringify(this.#held(sequence));
    if (this.#random(100) < this.stateFaults) throw new Error("no space left");
    writeFileSync(path, this.#random(100) < this.stateFaults ? state.slice(0, -9) : state);
    return state.length;
  }
  async loadSequenceStateFromFile(path: string, sequence: number, mostTokens: number): Promise<Uint32Array> {
    assert.ok(mostTokens > 0, "the library loads nothing where no tokens have room");
    await new Promise(setImmediate);
    const state = JSON.parse(readFileSync(path, "utf8")) as Token[];
    const fails = this.#random(100) < this.stateFaults;
    this.#sequences.set(sequence, fails ? state.slice(0, 5) : state);
    if (fails) throw new Error("the state was cut off");
    return new Uint32Array(0);
  }
  #held(sequence: number): Token[] {
    const held = this.#sequences.get(sequence) ?? [];
    this.#sequences.set(sequence, held);
    return held;
  }
}

interface Outcome {
  readonly tokens: Token[];
  reason?: FinishReason;
  error?: unknown;
  prompts: number;
}

function jobOf(prompt: readonly Token[], limit: number, over: Partial<Job> = {}) {
  const outcome: Outcome = { tokens: [], prompts: 0 };
  let settle: () => void = () => undefined;
  const settled = new Promise<void>((resolve) => (settle = resolve));
  const job: Job = {
    prompt,
    limit,
    isFurtherChoice: false,
    isConstrained: false,
    reuse: true,
    wantedSlot: undefined,
    wantsPromptRows: false,
    draft: { most: 0 },
    onDraft: () => undefined,
    onProgress: () => undefined,
    readPromptRows: async () => undefined,
    reasonOfEnd: () => "stop",
    createSampler: (): Sampler => ({
      sample: (context, row) => (context as FakeContext).choose(row),
      dispose: () => undefined,
    }),
    onStart: () => undefined,
    onPrompt: () => (outcome.prompts += 1),
    onToken: (token) => {
      outcome.tokens.push(token);
      return undefined;
    },
    onEnd: (reason) => {
      outcome.reason = reason;
      settle();
    },
    onError: (error) => {
      outcome.error = error;
      settle();
    },
    ...over,
  };
  return { job, outcome, settled };
}

function schedulerOf(slots = 4, contextLength = 400, idleBytes = 0) {
  const context = new FakeContext();
  const files = idleBytes === 0 ? undefined : StateFiles.open();
  const idle = files && new IdlePrefixes({ context, files, budgetBytes: () => idleBytes, bytesPerToken: 4 });
  return {
    context,
    scheduler: new Scheduler({
      context,
      slots,
      contextLength,
      isEndToken: (token) => token === END,
      isExact: false,
      idle,
    }),
  };
}

const range = (from: number, count: number) => Array.from({ length: count }, (_, index) => (from + index) % 997);

for (const slots of [1, 3, 64]) {
  test(`whatever leaves, stops and fails, an answer depends on its prompt only (${slots} slots)`, async () => {
    const { context, scheduler } = schedulerOf(slots);
    const random = randomOf(slots);
    const shared = range(3, 80);
    await Promise.all(
      Array.from({ length: 250 }, async (_, index) => {
        for (let pause = random(60); pause > 0; pause--) await new Promise(setImmediate);
        const prompt = [...shared.slice(0, random(81)), ...range(random(5), 1 + random(150))];
        const limit = random(40);
        const stopAt = random(3) === 0 ? random(10) + 1 : Infinity;
        const { job, outcome, settled } = jobOf(prompt, limit);
        const listening = {
          ...job,
          onToken: (token: Token) => (outcome.tokens.push(token) < stopAt ? undefined : ("stop" as const)),
        };
        scheduler.add(listening);
        if (index % 50 === 49) context.fault = new Error("decode failed");
        if (random(4) === 0) {
          for (let pause = random(40); pause > 0; pause--) await new Promise(setImmediate);
          scheduler.cancel(listening);
        } else await settled;
        const expected = answerTo(prompt, limit);
        assert.deepEqual(outcome.tokens, expected.slice(0, Math.min(outcome.tokens.length, stopAt)));
        if (outcome.reason === undefined) return;
        assert.equal(outcome.prompts, 1);
        assert.equal(outcome.tokens.length, Math.min(expected.length, stopAt));
        const isCut = expected.length === limit && stopAt > limit;
        assert.equal(outcome.reason, isCut ? "length" : "stop");
      }),
    );
    await sleep(20);
    assert.ok(scheduler.slots.every(({ busy }) => !busy));
    assert.equal(scheduler.waiting, 0);
    await scheduler.close();
  });
}

for (const isRecurrent of [false, true]) {
  const title = `conversations without a slot come back, or are evaluated again${isRecurrent ? " (recurrent model)" : ""}`;
  test(title, { skip: StateFiles.open() === undefined && "no file system in memory" }, async () => {
    const { context, scheduler } = schedulerOf(3, 2000, 12_000);
    Object.assign(context, { decodeMs: 2, stateFaults: 5, isRecurrent });
    const random = randomOf(3);
    const conversations = Array.from({ length: 12 }, (_, index) => [...range(2, 70), ...range(index * 31, 90)]);
    let cached = 0;
    for (let turn = 0; turn < 60; turn++) {
      await Promise.all(
        [random(12), 0].slice(0, 1 + random(2)).map(async (which) => {
          const prompt = conversations[which]!;
          const { job, outcome, settled } = jobOf(prompt, 5, { onStart: (tokens) => (cached += tokens) });
          scheduler.add(job);
          await settled;
          assert.deepEqual(outcome.tokens, answerTo(prompt, 5));
          conversations[which] = [...prompt, ...outcome.tokens, 41, turn % 40];
        }),
      );
    }
    const { count, bytes, restored } = scheduler.idlePrefixes;
    assert.ok(restored > (isRecurrent ? 0 : 10), `${restored} restored`);
    assert.ok(count > 0 && bytes > 0 && bytes <= 12_000, `${count} of ${bytes} bytes`);
    assert.ok(cached > 0);
    await scheduler.close();
    assert.equal(scheduler.idlePrefixes.count, 0);
  });
}

test("no tokens wanted: the prompt is evaluated, none is given", async () => {
  const { scheduler } = schedulerOf();
  const { job, outcome, settled } = jobOf(range(1, 50), 0);
  scheduler.add(job);
  await settled;
  assert.deepEqual([outcome.tokens, outcome.reason, outcome.prompts], [[], "length", 1]);
  assert.equal(scheduler.slots[0]?.cachedTokens, 50);
  await scheduler.close();
});

test("a job whose sampler cannot be made fails alone", async () => {
  const { scheduler } = schedulerOf();
  const good = jobOf(range(1, 50), 5);
  const bad = jobOf(range(1, 50), 5, {
    createSampler: () => {
      throw new Error("no sampler");
    },
  });
  scheduler.add(good.job);
  scheduler.add(bad.job);
  await Promise.all([good.settled, bad.settled]);
  assert.match(String(bad.outcome.error), /no sampler/);
  assert.equal(good.outcome.error, undefined);
  await scheduler.close();
});

test("a job whose sampler fails while it draws fails alone, and its slot serves the next", async () => {
  const { scheduler } = schedulerOf(2);
  const good = jobOf(range(1, 50), 30);
  const bad = jobOf(range(3, 50), 30, {
    createSampler: () => {
      let drawn = 0;
      return {
        sample: async (context, row) => {
          if (++drawn > 3) throw new Error("no number");
          return (context as FakeContext).choose(row);
        },
        dispose: () => undefined,
      };
    },
  });
  for (const { job } of [good, bad]) scheduler.add(job);
  await Promise.all([good.settled, bad.settled]);
  assert.match(String(bad.outcome.error), /no number/);
  assert.deepEqual(good.outcome.tokens, answerTo(range(1, 50), 30));
  assert.equal(good.outcome.error, undefined);
  const next = jobOf(range(3, 50), 5);
  scheduler.add(next.job);
  await next.settled;
  assert.deepEqual(next.outcome.tokens, answerTo(range(3, 50), 5));
  assert.ok(scheduler.slots.every(({ busy }) => !busy));
  await scheduler.close();
});

test("a job that comes after close is refused, not forgotten", async () => {
  const { scheduler } = schedulerOf();
  await scheduler.close();
  const { job, outcome, settled } = jobOf(range(1, 50), 5);
  scheduler.add(job);
  await settled;
  assert.equal((outcome.error as { code?: string }).code, "shutting_down");
});

test("further choices of a running request do not fill the queue", () => {
  const { scheduler } = schedulerOf(1);
  for (const _ of ["runs", "waits"]) scheduler.add(jobOf(range(1, 5), 5).job);
  for (let choice = 0; choice < 100; choice++) scheduler.add(jobOf(range(1, 5), 5, { isFurtherChoice: true }).job);
  assert.equal(scheduler.waiting, 1);
});

test("a short prompt does not wait for a long one, and a middle one takes turns with it", async () => {
  const { context, scheduler } = schedulerOf(3, 5000);
  context.decodeMs = 2;
  const long = jobOf(range(1, 4000), 1);
  const middle = jobOf(range(300, 300), 1);
  const short = jobOf(range(500, 40), 1);
  for (const { job } of [long, middle, short]) scheduler.add(job);
  await short.settled;
  assert.ok(context.batches.length <= 3, `${context.batches.length} batches`);
  await middle.settled;
  assert.equal(long.outcome.reason, undefined);
  await long.settled;
  await scheduler.close();
});

test("each piece of a prompt of a tile or more has a tile at least, whatever runs beside it", async () => {
  const { context, scheduler } = schedulerOf(4, 5000);
  context.decodeMs = 1;
  const streams = [3, 30, 50].map((length) => jobOf(range(length, length), 60));
  const long = [64, 65, 127, 128, 190, 700].map((length) => jobOf(range(length, length), 3));
  for (const { job } of [...streams, ...long]) scheduler.add(job);
  await Promise.all([...streams, ...long].map(({ settled }) => settled));
  for (const { outcome } of [...streams, ...long]) assert.equal(outcome.error, undefined);
  const sizes = context.batches.flatMap((batch) => batch.map(({ tokens }) => tokens)).filter((tokens) => tokens > 1);
  assert.deepEqual(
    sizes.filter((tokens) => tokens < 64).sort((a, b) => a - b),
    [3, 30, 50],
  );
  for (const batch of context.batches) {
    if (batch.some(({ tokens }) => tokens >= 64)) assert.equal(batch.length, 1);
  }
  await scheduler.close();
});
