/** Batches of several sequences on node-llama-cpp's public interface, which evaluates each sequence by itself. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type {
  ContextShiftOptions,
  ControlledEvaluateInputItem,
  LlamaContext,
  LlamaContextSequence,
  LlamaEmbeddingContext,
  Token as PublicToken,
} from "node-llama-cpp";

import type { LogitFilter, NativeContext, NativeSampler, SampleReport, Token } from "./native.ts";
import { Row, type PublicSampler } from "./public-sampler.ts";

/** The library would erase a full sequence's beginning. */
const NO_SHIFT: ContextShiftOptions = {
  strategy: () => {
    throw new Error("the sequence is full");
  },
};

/** At temperature 0 the logits are the model's own, of all tokens. */
const WITH_LOGITS = { generateNext: { logits: true, options: { temperature: 0 } } } as const;

interface Part {
  readonly sequence: number;
  readonly position: number;
  readonly tokens: Uint32Array;
  /** Row numbers by the index of their token. */
  readonly rows: ReadonlyMap<number, number>;
}

/** What comes of a batch, by sequence: recorded first, then evaluated. */
abstract class Batches {
  protected parts: Part[] = [];
  #rows = 0;

  initBatch(): void {
    this.parts = [];
    this.#rows = 0;
  }

  addToBatch(sequence: number, position: number, tokens: Uint32Array, withLogits: Uint32Array): Uint32Array {
    const rows = withLogits.map(() => this.#rows++);
    const byIndex = new Map(Array.from(withLogits, (index, place) => [index, rows[place]!]));
    this.parts.push({ sequence, position, tokens: tokens.slice(), rows: byIndex });
    return rows;
  }
}

/** The counterpart of `AddonContext` for generation. */
export class PublicContext extends Batches implements NativeContext {
  readonly #context: LlamaContext;
  readonly #vocabularySize: number;
  readonly #sequences: LlamaContextSequence[];
  /** What each sequence still has to do: cutting is not awaited by callers, but by what comes next. */
  readonly #last: Promise<unknown>[];
  /** Of the last batch. */
  readonly #rows = new Map<number, Row>();

  constructor(context: LlamaContext, vocabularySize: number) {
    super();
    this.#context = context;
    this.#vocabularySize = vocabularySize;
    this.#sequences = Array.from({ length: context.totalSequences }, () =>
      context.getSequence({ contextShift: NO_SHIFT }),
    );
    this.#last = this.#sequences.map(() => Promise.resolve());
  }

  init(): Promise<boolean> {
    return Promise.resolve(true);
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#last);
    await this.#context.dispose();
  }

  /** Asked at once, the library evaluates all sequences in one pass. */
  async decodeBatch(): Promise<void> {
    this.#rows.clear();
    const outcomes = await Promise.allSettled(
      this.parts.splice(0).map((part) => this.#enqueue(part.sequence, (sequence) => this.#evaluate(sequence, part))),
    );
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  }

  sampleToken(row: number, sampler: NativeSampler): Promise<Token>;
  sampleToken(
    row: number,
    sampler: NativeSampler,
    probabilities: false,
    confidence: false,
    logits: boolean | LogitFilter,
    totalWeight?: boolean,
  ): Promise<SampleReport>;
  async sampleToken(
    number: number,
    sampler: NativeSampler,
    _probabilities?: false,
    _confidence?: false,
    logits?: boolean | LogitFilter,
    totalWeight = false,
  ): Promise<Token | SampleReport> {
    const row = this.#rows.get(number);
    if (row === undefined) throw new Error(`the last batch has no row ${number}`);
    const own = sampler as PublicSampler;
    return logits === undefined ? own.draw(row) : own.report(row, logits, totalWeight);
  }

  getEmbedding(): Float64Array {
    throw new Error("this context generates");
  }

  /** Only ends are ever cut: `to` is -1. */
  removeTokenCellsFromSequence(number: number, from: number, to: number): boolean {
    const sequence = this.#sequences[number];
    if (sequence === undefined || sequence.needsCheckpoints || to !== -1) return false;
    this.#later(number, (held) => held.eraseContextTokenRanges([{ start: from, end: held.nextTokenIndex }]));
    return true;
  }

  disposeSequence(number: number): void {
    this.#later(number, (sequence) => sequence.clearHistory());
  }

  /** By way of a file, so that the copy is the same to the last bit. */
  async copySequenceStateFromOtherSequence(target: number, source: number): Promise<number> {
    const directory = await mkdtemp(join(tmpdir(), "pinference-state-"));
    try {
      const path = join(directory, "state");
      const bytes = await this.saveSequenceStateToFile(path, source);
      await this.loadSequenceStateFromFile(path, target);
      return bytes;
    } finally {
      await rm(directory, { recursive: true });
    }
  }

  /** The file holds the sequence's own tokens, whatever is asked for. */
  saveSequenceStateToFile(path: string, number: number): Promise<number> {
    return this.#enqueue(number, async (sequence) => (await sequence.saveStateToFile(path)).fileSize);
  }

  /** Rejects files without their tokens, such as those of the addon, since the library counts them. */
  loadSequenceStateFromFile(path: string, number: number): Promise<Uint32Array> {
    return this.#enqueue(number, async (sequence) => {
      try {
        await sequence.loadStateFromFile(path, { acceptRisk: true });
        if (sequence.nextTokenIndex === 0) throw new Error("the file does not hold the tokens of its state");
      } catch (error) {
        // It may hold a state now that the library counts no tokens of, and so would never clear.
        await sequence.dispose();
        this.#sequences[number] = this.#context.getSequence({ contextShift: NO_SHIFT });
        throw error;
      }
      return Uint32Array.from(sequence.contextTokens);
    });
  }

  async #evaluate(sequence: LlamaContextSequence, { position, tokens, rows }: Part): Promise<void> {
    const { nextTokenIndex } = sequence;
    if (nextTokenIndex !== position) throw new Error(`the sequence holds ${nextTokenIndex} tokens, not ${position}`);
    const items = Array.from(tokens as Iterable<number> as Iterable<PublicToken>, (token, index) =>
      rows.has(index) ? ([token, WITH_LOGITS] satisfies ControlledEvaluateInputItem) : token,
    );
    await sequence.controlledEvaluate(items, {
      contextShift: NO_SHIFT,
      onTokenResult: (index, { next }) => {
        const row = rows.get(index);
        if (row === undefined || next.logits === undefined) return;
        this.#rows.set(row, toRow(next.logits, this.#vocabularySize));
        // A map of the whole vocabulary for each of a prompt's tokens would fill the memory.
        delete next.logits;
      },
    });
  }

  #enqueue<Result>(number: number, work: (sequence: LlamaContextSequence) => Promise<Result>): Promise<Result> {
    const last = this.#last[number];
    if (last === undefined) return Promise.reject(new Error(`the context has no sequence ${number}`));
    const result = last.then(() => work(this.#sequences[number]!));
    this.#last[number] = result.catch(() => undefined);
    return result;
  }

  /** Where this fails, the sequence is longer than the next batch expects, which says so. */
  #later(number: number, work: (sequence: LlamaContextSequence) => Promise<void>): void {
    this.#enqueue(number, work).catch(() => undefined);
  }
}

function toRow(logits: ReadonlyMap<PublicToken, number>, vocabularySize: number): Row {
  const row = new Float32Array(vocabularySize).fill(-Infinity);
  for (const [token, logit] of logits) row[token] = logit;
  return new Row(row);
}

/** The counterpart of `AddonContext` for embeddings. Each batch evaluates what sequence 0 holds from its beginning. */
export class PublicEmbeddingContext extends Batches implements NativeContext {
  readonly #context: LlamaEmbeddingContext;
  #tokens: PublicToken[] = [];
  #vector: readonly number[] = [];

  constructor(context: LlamaEmbeddingContext) {
    super();
    this.#context = context;
  }

  init(): Promise<boolean> {
    return Promise.resolve(true);
  }

  dispose(): Promise<void> {
    return this.#context.dispose();
  }

  /** The library pools its last pass alone, which is this batch: all batches but the last are as long as a pass. */
  async decodeBatch(): Promise<void> {
    for (const { tokens } of this.parts.splice(0))
      this.#tokens.push(...(tokens as Iterable<number> as Iterable<PublicToken>));
    this.#vector = (await this.#context.getEmbeddingFor([...this.#tokens])).vector;
  }

  sampleToken(): Promise<never> {
    return Promise.reject(new Error("this context makes embeddings"));
  }

  getEmbedding(): Float64Array {
    return Float64Array.from(this.#vector);
  }

  removeTokenCellsFromSequence(): boolean {
    return false;
  }

  disposeSequence(): void {
    this.#tokens = [];
  }

  copySequenceStateFromOtherSequence(): Promise<never> {
    return Promise.reject(new Error("this context makes embeddings"));
  }

  saveSequenceStateToFile(): Promise<never> {
    return Promise.reject(new Error("this context makes embeddings"));
  }

  loadSequenceStateFromFile(): Promise<never> {
    return Promise.reject(new Error("this context makes embeddings"));
  }
}
