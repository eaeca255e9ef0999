/**
 * Continuous batching over the context's sequences. Each step decodes one batch: a token of every generating sequence
 * first, then pieces of prompts up to a budget that keeps the step short. While the library computes a batch, the
 * tokens of the step before are turned into text and sent, so that JavaScript costs no computing time.
 */
import { CodedError } from "../domain/errors.ts";
import type { FinishReason } from "../domain/generation.ts";
import type { NativeContext, Token } from "./native.ts";
import type { Sampler } from "./sampler.ts";
import { chooseSeat, createSlots, type Slot } from "./slots.ts";

/** Most tokens of one batch, and so the context's batch size. */
export const BATCH_TOKENS = 512;
/** Fewest prompt tokens of a step: smaller pieces cost speed (llama.cpp evaluates 32 at 0.8 of full speed). */
const LEAST_PIECE = 32;
/** How long a step with prompt pieces should last: it bounds how late an abort is seen… */
const ALONE_MS = 400;
/** …and how long running streams stand still. */
const SHARED_MS = 100;

/** One answer to compute. The scheduler calls back; no callback may throw. */
export interface Job {
  readonly prompt: readonly Token[];
  /** Most completion tokens; 0 evaluates the prompt and ends. */
  readonly limit: number;
  /** Belongs to a request that runs already, so it takes no place in the queue. */
  readonly isFurtherChoice: boolean;
  readonly hasGrammar: boolean;
  /** Called once, when the job gets its slot. */
  createSampler(): Sampler;
  onStart(cachedTokens: number): void;
  /** The whole prompt is evaluated. */
  onPrompt(): void;
  /** Returns false when the answer is complete (a stop sequence was met). */
  onToken(token: Token): boolean;
  /** The model ended with this token; undefined where no token could be drawn. */
  reasonOfEnd(token: Token | undefined): FinishReason;
  onEnd(reason: FinishReason): void;
  onError(error: unknown): void;
}

interface Running {
  readonly job: Job;
  readonly sampler: Sampler;
  /** Rank of admission: earlier prompts are evaluated first. */
  readonly order: number;
  /** Sampled and not yet evaluated. */
  next: Token | undefined;
  produced: number;
  cancelled: boolean;
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
}

export class Scheduler {
  readonly #context: NativeContext;
  readonly #contextLength: number;
  readonly #isEndToken: (token: Token) => boolean;
  readonly #slots: Slot<Running>[];
  readonly #waiting: Job[] = [];
  #deliveries: Delivery[] = [];
  #clock = 0;
  #batches = 0;
  #busySlotsInBatches = 0;
  #promptTokensPerMs = 0.2;
  #loop: Promise<void> | undefined;
  #closed = false;

  constructor(options: SchedulerOptions) {
    this.#context = options.context;
    this.#contextLength = options.contextLength;
    this.#isEndToken = options.isEndToken;
    this.#slots = createSlots(options.slots);
  }

  /** Requests that wait for their first slot. */
  get waiting(): number {
    return this.#waiting.reduce((count, job) => count + (job.isFurtherChoice ? 0 : 1), 0);
  }

  get slots(): readonly { id: number; busy: boolean; cachedTokens: number }[] {
    return this.#slots.map(({ id, job, tokens }) => ({ id, busy: job !== undefined, cachedTokens: tokens.length }));
  }

  /** Batches computed so far, and their busy slots summed up. */
  get work(): { readonly batches: number; readonly busySlotsInBatches: number } {
    return { batches: this.#batches, busySlotsInBatches: this.#busySlotsInBatches };
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
  }

  async #run(): Promise<void> {
    try {
      while (!this.#closed && (await this.#step()));
    } catch (error) {
      this.#reset(error);
    } finally {
      this.#loop = undefined;
    }
    // A job that came while the last step failed.
    if (this.#waiting.length > 0 && !this.#closed) this.#loop ??= this.#run();
  }

  /** False when nothing is left to do. */
  async #step(): Promise<boolean> {
    this.#releaseCancelled();
    await this.#admit();
    const rows = this.#fillBatch();
    if (rows === undefined) {
      this.#deliver();
      return this.#waiting.length > 0 || this.#slots.some((slot) => slot.job !== undefined);
    }
    this.#batches += 1;
    for (const slot of this.#slots) if (slot.job !== undefined) this.#busySlotsInBatches += 1;
    const startedAt = performance.now();
    const decoding = this.#context.decodeBatch();
    this.#deliver();
    await decoding;
    if (rows.promptTokens >= LEAST_PIECE) {
      const rate = rows.promptTokens / Math.max(performance.now() - startedAt, 0.01);
      this.#promptTokensPerMs += (rate - this.#promptTokensPerMs) / 2;
    }
    await this.#sample(rows.sampled);
    return true;
  }

  #releaseCancelled(): void {
    for (const slot of this.#slots) if (slot.job?.cancelled === true) this.#release(slot);
  }

  async #admit(): Promise<void> {
    for (let job = this.#waiting[0]; job !== undefined; job = this.#waiting[0]) {
      const seat = chooseSeat(this.#slots, job.prompt);
      if (seat === undefined) return;
      this.#waiting.shift();
      const sampler = createSampler(job);
      if (sampler === undefined) continue;
      const { slot, source } = seat;
      const running: Running = {
        job,
        sampler,
        order: ++this.#clock,
        next: undefined,
        produced: 0,
        cancelled: false,
      };
      slot.job = running;
      let shared = seat.shared;
      if (source !== undefined) {
        await this.#context.copySequenceStateFromOtherSequence(slot.id, source.id);
        slot.tokens = source.tokens.slice();
      }
      if (shared < slot.tokens.length && !this.#context.removeTokenCellsFromSequence(slot.id, shared, -1)) {
        // A recurrent state cannot be cut: start anew.
        this.#context.disposeSequence(slot.id);
        shared = 0;
      }
      slot.tokens.length = shared;
      if (!running.cancelled) job.onStart(shared);
    }
  }

  /** Puts this step's tokens into the library's batch; undefined when there are none. */
  #fillBatch(): { sampled: { slot: Slot<Running>; row: number }[]; promptTokens: number } | undefined {
    const parts: { slot: Slot<Running>; running: Running; tokens: Uint32Array; wantsRow: boolean }[] = [];
    for (const slot of this.#slots) {
      const running = slot.job;
      if (running?.next === undefined) continue;
      parts.push({ slot, running, tokens: Uint32Array.of(running.next), wantsRow: true });
      running.next = undefined;
    }
    const perStep = this.#promptTokensPerMs * (parts.length > 0 ? SHARED_MS : ALONE_MS);
    const budget = Math.min(Math.max(Math.floor(perStep), LEAST_PIECE), BATCH_TOKENS - parts.length);
    const pieces = sharePromptBudget(this.#slots, budget);
    for (const { slot, running, length } of pieces) {
      const tokens = Uint32Array.from(running.job.prompt.slice(slot.tokens.length, slot.tokens.length + length));
      const wantsRow = slot.tokens.length + tokens.length === running.job.prompt.length;
      parts.push({ slot, running, tokens, wantsRow });
    }
    const promptTokens = pieces.reduce((sum, { length }) => sum + length, 0);
    if (parts.length === 0) return undefined;
    this.#context.initBatch(parts.reduce((sum, part) => sum + part.tokens.length, 0));
    const sampled: { slot: Slot<Running>; row: number }[] = [];
    for (const { slot, tokens, wantsRow } of parts) {
      const position = slot.tokens.length;
      const withLogits = wantsRow ? Uint32Array.of(tokens.length - 1) : new Uint32Array(0);
      const [row] = this.#context.addToBatch(slot.id, position, tokens, withLogits);
      for (const token of tokens) slot.tokens.push(token);
      if (row !== undefined) sampled.push({ slot, row });
    }
    return { sampled, promptTokens };
  }

  async #sample(rows: readonly { slot: Slot<Running>; row: number }[]): Promise<void> {
    const draws = rows.flatMap(({ slot, row }) => {
      const running = slot.job;
      if (running === undefined || running.cancelled) return [];
      if (running.job.limit > 0) return [{ slot, running, row }];
      running.job.onPrompt();
      this.#end(slot, running, "length");
      return [];
    });
    // All calls are queued at once: the library's one thread works them off without waiting for this one.
    const tokens = await Promise.all(draws.map(({ row, running }) => this.#draw(row, running)));
    for (const [index, { slot, running }] of draws.entries()) {
      const token = tokens[index]!;
      if (running.cancelled || slot.job !== running) continue;
      if (running.produced === 0) running.job.onPrompt();
      if (running.job.limit === 0) {
        this.#end(slot, running, "length");
        continue;
      }
      if (token < 0 || this.#isEndToken(token)) {
        this.#deliverTo(slot);
        this.#end(slot, running, running.job.reasonOfEnd(token < 0 ? undefined : token));
        continue;
      }
      running.produced += 1;
      const isLast = running.produced >= running.job.limit || slot.tokens.length + 1 >= this.#contextLength;
      if (!isLast) running.next = token;
      this.#deliveries.push({ slot, running, token, isLast });
    }
  }

  /** Below 0 where a grammar leaves no token that may be drawn: that ends one answer, not all of them. */
  async #draw(row: number, { job, sampler }: Running): Promise<Token> {
    const drawn = sampler.sample(this.#context, row);
    return job.hasGrammar ? drawn.catch(() => -1) : drawn;
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
    const goesOn = running.job.onToken(token);
    if (!goesOn) this.#end(slot, running, "stop");
    else if (isLast) this.#end(slot, running, "length");
  }

  #end(slot: Slot<Running>, running: Running, reason: FinishReason): void {
    this.#release(slot);
    running.job.onEnd(reason);
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
      slot.tokens = [];
      this.#context.disposeSequence(slot.id);
    }
    this.#deliveries = [];
    for (const running of jobs) if (!running.cancelled) running.job.onError(error);
  }

  #failAll(error: unknown): void {
    this.#deliver();
    const waiting = this.#waiting.splice(0);
    const running = this.#slots.flatMap((slot) => (slot.job === undefined || slot.job.cancelled ? [] : slot.job.job));
    for (const slot of this.#slots) if (slot.job !== undefined) this.#release(slot);
    for (const job of [...running, ...waiting]) job.onError(error);
  }
}

/**
 * How many tokens of which prompts a step evaluates. The oldest prompt is sure of half, so that it comes to its end; the
 * rest goes to the shortest first, so that a short request does not wait for a long one's prompt.
 */
function sharePromptBudget(
  slots: readonly Slot<Running>[],
  budget: number,
): { slot: Slot<Running>; running: Running; length: number }[] {
  const open = slots.flatMap((slot) => {
    const left = (slot.job?.job.prompt.length ?? 0) - slot.tokens.length;
    return slot.job === undefined || left <= 0 ? [] : [{ slot, running: slot.job, left, length: 0 }];
  });
  let rest = budget;
  const give = (piece: (typeof open)[number], most: number) => {
    const length = Math.max(0, Math.min(piece.left - piece.length, most));
    piece.length += length;
    rest -= length;
  };
  open.sort((a, b) => a.running.order - b.running.order);
  if (open[0] !== undefined) give(open[0], Math.ceil(budget / 2));
  for (const piece of open.toSorted((a, b) => a.left - b.left)) give(piece, rest);
  return open.filter(({ length }) => length > 0);
}

/** What one job asks for must not end the others. */
function createSampler(job: Job): Sampler | undefined {
  try {
    return job.createSampler();
  } catch (error) {
    job.onError(error);
    return undefined;
  }
}

function shuttingDown(): CodedError {
  return new CodedError("shutting_down", "The server is shutting down; try again later.");
}
