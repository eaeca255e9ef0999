/**
 * Continuous batching over the context's sequences. Each step decodes a token of every generating sequence in one batch,
 * then pieces of prompts up to a budget that keeps the step short. While the library computes a batch, the tokens of the
 * batch before are turned into text and sent, so that JavaScript costs no computing time.
 *
 * How tokens are put into batches must not change what is computed for them. llama.cpp evaluates a token by other
 * arithmetic if its sequence has at least TILE tokens in the batch, so prompts are cut with that in mind; tokens of
 * different sequences do not touch each other (docs/decisions/0014-same-text.md).
 */
import type { IdlePrefixesStatus, SlotStatus } from "../domain/engine.ts";
import { CodedError } from "../domain/errors.ts";
import type { FinishReason } from "../domain/generation.ts";
import { DraftPlanner } from "./draft-planner.ts";
import { Erasures } from "./erasures.ts";
import type { IdlePrefixes } from "./idle-prefixes.ts";
import type { Job } from "./job.ts";
import type { NativeContext, Token } from "./native.ts";
import { sharePromptBudget } from "./prompt-budget.ts";
import { createSampler, type Part, type Running } from "./running.ts";
import { Seating } from "./seating.ts";
import { createSlots, cutSlot, extendSlot, TILE, type Slot } from "./slots.ts";

/** Most tokens of one batch, and so the context's batch size. */
export const BATCH_TOKENS = 512;
/** Most of these that come ahead of their turn: forced and guessed ones. */
const AHEAD_TOKENS = BATCH_TOKENS / 2;
/** How long a step with prompt pieces should last: it bounds how late an abort is seen… */
const ALONE_MS = 400;
/** …and how long running streams stand still. */
const SHARED_MS = 100;

/** What is sampled of a batch for one sequence. */
interface Rows {
  readonly slot: Slot<Running>;
  /** The row after the last token that is certain, then one after each that is guessed. */
  readonly rows: Uint32Array;
  readonly draft: Uint32Array;
}

interface Delivery {
  readonly slot: Slot<Running>;
  readonly running: Running;
  readonly token: Token;
  readonly isLast: boolean;
}

export interface SchedulerOptions {
  readonly context: NativeContext;
  readonly slots: number;
  /** Tokens one sequence can hold. */
  readonly contextLength: number;
  readonly isEndToken: (token: Token) => boolean;
  /** Reuse only what a prompt's evaluation from its beginning would give to the last bit. */
  readonly isExact: boolean;
  /** Keeps states of conversations without a slot; undefined where there is no memory for them. */
  readonly idle?: IdlePrefixes | undefined;
}

export class Scheduler {
  readonly #context: NativeContext;
  readonly #contextLength: number;
  readonly #isEndToken: (token: Token) => boolean;
  readonly #idle: IdlePrefixes | undefined;
  readonly #slots: Slot<Running>[];
  readonly #seating: Seating<Running>;
  readonly #waiting: Job[] = [];
  readonly #erasures = new Erasures();
  #deliveries: Delivery[] = [];
  #clock = 0;
  #batches = 0;
  #busySlotsInBatches = 0;
  #promptTokensPerMs = 0.2;
  readonly #drafts: DraftPlanner;
  #loop: Promise<void> | undefined;
  #closed = false;

  constructor(options: SchedulerOptions) {
    this.#context = options.context;
    this.#contextLength = options.contextLength;
    this.#isEndToken = options.isEndToken;
    this.#idle = options.idle;
    this.#drafts = new DraftPlanner(options.context, options.contextLength, AHEAD_TOKENS / options.slots);
    this.#slots = createSlots(options.slots);
    const { context, idle, isExact } = options;
    this.#seating = new Seating({ context, slots: this.#slots, idle, isExact });
  }

  /** Requests that wait for their first slot. */
  get waiting(): number {
    return this.#waiting.reduce((count, job) => count + (job.isFurtherChoice ? 0 : 1), 0);
  }

  get slots(): readonly SlotStatus[] {
    return this.#slots.map(({ id, job, tokens }) => {
      const task = job?.job.task;
      return { id, busy: job !== undefined, cachedTokens: tokens.length, ...(task && { task }) };
    });
  }

  /** Has a slot forget what it holds, once it is free. Returns the count of tokens. Errors: `shutting_down`. */
  async erase(slot: number): Promise<number> {
    if (this.#closed) throw shuttingDown();
    const erased = this.#erasures.ask(slot);
    this.#loop ??= this.#run();
    return erased;
  }

  /** Batches computed so far, and their busy slots summed up. */
  get work(): { readonly batches: number; readonly busySlotsInBatches: number } {
    return { batches: this.#batches, busySlotsInBatches: this.#busySlotsInBatches };
  }

  get idlePrefixes(): IdlePrefixesStatus {
    return this.#idle?.status ?? { count: 0, bytes: 0, restored: 0 };
  }

  /** Jobs get slots in the order in which they come. */
  add(job: Job): void {
    if (this.#closed) {
      job.onError(shuttingDown());
      return;
    }
    this.#waiting.push(job);
    this.#loop ??= this.#run();
  }

  /** Ends a job at the next step, or takes it out of the queue. Calls back no more. */
  cancel(job: Job): void {
    const place = this.#waiting.indexOf(job);
    if (place >= 0) this.#waiting.splice(place, 1);
    for (const slot of this.#slots) if (slot.job?.job === job) slot.job.cancelled = true;
  }

  /** Fails what runs and what waits, and resolves when the context is idle. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#loop;
    this.#failAll(shuttingDown());
    this.#idle?.close();
  }

  async #run(): Promise<void> {
    try {
      while (!this.#closed && (await this.#step()));
    } catch (error) {
      this.#reset(error);
    } finally {
      this.#loop = undefined;
    }
    // What came while the last step failed, or ended.
    const isLeft = this.#waiting.length > 0 || !this.#erasures.isEmpty;
    if (isLeft && !this.#closed) this.#loop ??= this.#run();
  }

  /** False when nothing is left to do. */
  async #step(): Promise<boolean> {
    this.#releaseCancelled();
    this.#erasures.grant(this.#slots, (slot) => this.#seating.forget(slot));
    await this.#admit();
    const batches = this.#planBatches();
    for (const parts of batches) await this.#evaluate(parts);
    if (batches.length > 0) return true;
    this.#deliver();
    return this.#waiting.length > 0 || this.#slots.some((slot) => slot.job !== undefined);
  }

  #releaseCancelled(): void {
    for (const slot of this.#slots) if (slot.job?.cancelled === true) this.#release(slot);
  }

  async #admit(): Promise<void> {
    for (let job = this.#waiting[0]; job !== undefined; job = this.#waiting[0]) {
      const pace = { promptTokensPerMs: this.#promptTokensPerMs, hasStreams: this.#hasStreams };
      const seat = this.#seating.choose(job.prompt, job, pace);
      if (seat === undefined) return;
      this.#waiting.shift();
      const sampler = createSampler(job);
      if (sampler === undefined) continue;
      const { slot } = seat;
      const running: Running = {
        job,
        sampler,
        order: ++this.#clock,
        pending: [],
        drafter: undefined,
        produced: 0,
        cancelled: false,
      };
      slot.job = running;
      const shared = await this.#seating.prepare(seat, pace);
      if (!this.#seating.mayCut) this.#drafts.cannotCut();
      if (!running.cancelled) job.onStart(shared, slot.id);
    }
  }

  get #hasStreams(): boolean {
    return this.#slots.some((slot) => (slot.job?.pending.length ?? 0) > 0);
  }

  /** The batches of this step. Prompt pieces of a tile or more get a batch each: llama.cpp would part them anyway. */
  #planBatches(): Part[][] {
    const tokens = this.#drafts.plan(this.#slots);
    const milliseconds = tokens.length > 0 ? SHARED_MS : ALONE_MS;
    const open = this.#slots.flatMap((slot) => {
      const left = (slot.job?.job.prompt.length ?? 0) - slot.tokens.length;
      if (slot.job === undefined || left <= 0) return [];
      return [{ slot, running: slot.job, left, order: slot.job.order, isCareful: slot.job.job.wantsPromptRows }];
    });
    const ahead = tokens.reduce((sum, part) => sum + part.tokens.length - 1, 0);
    const budget = Math.min(Math.floor(this.#promptTokensPerMs * milliseconds), BATCH_TOKENS - ahead);
    const pieces = sharePromptBudget(open, budget, this.#batches).map(({ slot, running, length }): Part => {
      const piece = running.job.prompt.slice(slot.tokens.length, slot.tokens.length + length);
      return { slot, running, tokens: Uint32Array.from(piece), isPrompt: true, drafted: 0 };
    });
    const small = pieces.filter((piece) => piece.tokens.length < TILE);
    // In the order of sequences: llama.cpp computes neighbours together.
    const first = [...tokens, ...small].sort((a, b) => a.slot.id - b.slot.id);
    const large = pieces.filter((piece) => piece.tokens.length >= TILE).map((piece) => [piece]);
    return first.length === 0 ? large : [first, ...large];
  }

  async #evaluate(planned: readonly Part[]): Promise<void> {
    // A batch before may have ended some of it.
    const parts = planned.filter(({ slot, running }) => slot.job === running && !running.cancelled);
    if (parts.length === 0) return;
    this.#context.initBatch(parts.reduce((sum, part) => sum + part.tokens.length, 0));
    const sampled: Rows[] = [];
    const read: (() => Promise<void>)[] = [];
    for (const { slot, running, tokens, isPrompt, drafted } of parts) {
      const from = slot.tokens.length;
      const certain = tokens.length - drafted;
      const isLast = from + certain >= running.job.prompt.length + (isPrompt ? 0 : running.produced);
      const readsAll = isPrompt && running.job.wantsPromptRows;
      const firstRow = readsAll ? 0 : certain - (isLast ? 1 : 0);
      const rows = this.#context.addToBatch(slot.id, from, tokens, rowsFrom(firstRow, tokens.length));
      if (!isPrompt) running.pending.splice(0, certain);
      extendSlot(slot, tokens);
      if (readsAll) read.push(() => running.job.readPromptRows(this.#context, rows, from));
      if (isLast) sampled.push({ slot, rows: rows.slice(-1 - drafted), draft: tokens.subarray(certain) });
    }
    this.#batches += 1;
    for (const slot of this.#slots) if (slot.job !== undefined) this.#busySlotsInBatches += 1;
    const startedAt = performance.now();
    const decoding = this.#context.decodeBatch();
    this.#deliver();
    await decoding;
    const promptTokens = parts.reduce((sum, { isPrompt, tokens }) => sum + (isPrompt ? tokens.length : 0), 0);
    if (promptTokens >= TILE) {
      const rate = promptTokens / Math.max(performance.now() - startedAt, 0.01);
      this.#promptTokensPerMs += (rate - this.#promptTokensPerMs) / 2;
    }
    for (const readRows of read) await readRows();
    for (const { slot, running, isPrompt } of parts) {
      if (isPrompt && slot.job === running && !running.cancelled) running.job.onProgress(slot.tokens.length);
    }
    await this.#sample(sampled);
    if (promptTokens === 0) this.#drafts.learn(parts, performance.now() - startedAt);
  }

  async #sample(sampled: readonly Rows[]): Promise<void> {
    // All calls are queued at once: the library's one thread works them off without waiting for this one.
    await Promise.all(
      sampled.map(async ({ slot, rows, draft }) => {
        const running = slot.job;
        if (running === undefined || running.cancelled) return;
        if (running.job.limit > 0) {
          const agreed = await this.#sampleRows(slot, running, rows, draft);
          this.#drafts.settle(slot, running, draft.length, agreed);
        } else {
          running.job.onPrompt();
          this.#end(slot, running, "length");
        }
      }),
    );
  }

  /** Draws from row after row for as long as the draft turns out right; returns how much of it did. */
  async #sampleRows(slot: Slot<Running>, running: Running, rows: Uint32Array, draft: Uint32Array): Promise<number> {
    let agreed = 0;
    for (let isRight = true; isRight;) {
      const tokens = await this.#draw(rows[agreed]!, running).catch((error: unknown) => {
        this.#fail(slot, running, error);
        return [];
      });
      if (running.cancelled || slot.job !== running) break;
      if (running.produced === 0) running.job.onPrompt();
      for (const token of tokens) {
        if (!this.#take(slot, running, token)) return agreed;
        isRight &&= draft[agreed] === token;
        if (isRight) agreed += 1;
        else running.pending.push(token);
      }
    }
    return agreed;
  }

  /** The answer has a token more; false where that ends it. */
  #take(slot: Slot<Running>, running: Running, token: Token): boolean {
    const { job } = running;
    if (token < 0 || this.#isEndToken(token)) {
      this.#deliverTo(slot);
      this.#end(slot, running, job.reasonOfEnd(token < 0 ? undefined : token));
      return false;
    }
    running.produced += 1;
    this.#drafts.push(running, token);
    const isLast = running.produced >= job.limit || job.prompt.length + running.produced >= this.#contextLength;
    this.#deliveries.push({ slot, running, token, isLast });
    return !isLast;
  }

  /**
   * The next tokens: what is certain before the row is looked at, or else the one that is drawn from it and what is
   * certain after that. Below 0 where a grammar leaves no token that may be drawn: that ends one answer, not all of them.
   */
  async #draw(row: number, { job, sampler }: Running): Promise<readonly Token[]> {
    const certain = sampler.ahead?.() ?? [];
    if (certain.length > 0) return certain;
    const drawing = sampler.sample(this.#context, row);
    const token = await (job.isConstrained ? drawing.catch(() => -1) : drawing);
    if (token < 0 || this.#isEndToken(token)) return [token];
    return [token, ...(sampler.ahead?.() ?? [])];
  }

  /** Hands the tokens of the last step to their jobs. */
  #deliver(): void {
    const deliveries = this.#deliveries;
    this.#deliveries = [];
    for (const delivery of deliveries) this.#deliverOne(delivery);
  }

  #deliverTo(slot: Slot<Running>): void {
    const mine = this.#deliveries.filter((delivery) => delivery.slot === slot);
    this.#deliveries = this.#deliveries.filter((delivery) => delivery.slot !== slot);
    for (const delivery of mine) this.#deliverOne(delivery);
  }

  #deliverOne({ slot, running, token, isLast }: Delivery): void {
    if (running.cancelled || slot.job !== running) return;
    const reason = running.job.onToken(token);
    if (reason !== undefined) this.#end(slot, running, reason);
    else if (isLast) this.#end(slot, running, "length");
  }

  #end(slot: Slot<Running>, running: Running, reason: FinishReason): void {
    this.#release(slot);
    running.job.onEnd(reason);
  }

  /** One answer's own fault: what the others hold is sound. */
  #fail(slot: Slot<Running>, running: Running, error: unknown): void {
    if (slot.job !== running) return;
    this.#release(slot);
    if (!running.cancelled) running.job.onError(error);
  }

  #release(slot: Slot<Running>): void {
    slot.job?.sampler.dispose();
    slot.job = undefined;
    slot.lastUsed = ++this.#clock;
  }

  /** After a failed batch nobody knows what the sequences hold. */
  #reset(error: unknown): void {
    const jobs = this.#slots.flatMap((slot) => slot.job ?? []);
    for (const slot of this.#slots) {
      if (slot.job !== undefined) this.#release(slot);
      cutSlot(slot, 0);
      this.#context.disposeSequence(slot.id);
    }
    this.#deliveries = [];
    for (const running of jobs) if (!running.cancelled) running.job.onError(error);
  }

  #failAll(error: unknown): void {
    this.#erasures.fail(error);
    this.#deliver();
    const waiting = this.#waiting.splice(0);
    const running = this.#slots.flatMap((slot) => (slot.job === undefined || slot.job.cancelled ? [] : slot.job.job));
    for (const slot of this.#slots) if (slot.job !== undefined) this.#release(slot);
    for (const job of [...running, ...waiting]) job.onError(error);
  }
}

function rowsFrom(first: number, length: number): Uint32Array {
  return Uint32Array.from({ length: length - first }, (_, index) => first + index);
}

function shuttingDown(): CodedError {
  return new CodedError("shutting_down", "The server is shutting down; try again later.");
}
