import type { Embedding, Score } from "../domain/engine.ts";
import { contextLengthExceeded } from "../domain/context-length.ts";
import { CodedError } from "../domain/errors.ts";
import type { MetadataOverrides, Native, NativeContext, NativeModel, Token } from "./native.ts";

// Source: llama.cpp, include/llama.h, enum llama_pooling_type.
const NONE = 0;
const MEAN = 1;
const FIRST = 2;
const RANK = 4;

/**
 * Tokens of a piece: llama.cpp computes the whole vocabulary's logits for each token of an embedding batch, so a batch
 * of 152k logits a token has to stay short. The speed is within some percent of larger ones.
 */
const PIECE_TOKENS = 128;

export interface EmbedderOptions {
  readonly contextLength: number;
  readonly threads: number;
  /** How the model pools; undefined where it does not say. */
  readonly pooling: number | undefined;
  /** False where tokens see the ones after them: such texts are computed in one piece. */
  readonly isCausal: boolean;
  /** Calls that may wait for the one that runs. */
  readonly queueLength: number;
  /** Why there is no memory for its context, where there is none. */
  readonly noRoom?: string | undefined;
  /** Called when that context takes its memory. */
  readonly onOpen?: () => void;
}

/**
 * The metadata that makes a model's embeddings the mean over its tokens, where it names no way of its own. It has no
 * effect on generation, whose contexts compute no embeddings.
 */
export function poolingOverride(architecture: string | undefined, pooling: number | undefined): MetadataOverrides {
  const isNamed = pooling !== undefined && pooling !== NONE;
  return isNamed || architecture === undefined ? {} : { [`${architecture}.pooling_type`]: MEAN };
}

/** Computes embeddings in a context of its own, which is made on first demand. */
export class Embedder {
  readonly #native: Native;
  readonly #model: NativeModel;
  readonly #options: EmbedderOptions;
  readonly #pooling: number;
  readonly #pieceTokens: number;
  #context: Promise<NativeContext> | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(native: Native, model: NativeModel, options: EmbedderOptions) {
    this.#native = native;
    this.#model = model;
    this.#options = options;
    this.#pooling = options.pooling === undefined || options.pooling === NONE ? MEAN : options.pooling;
    this.#pieceTokens = options.isCausal ? PIECE_TOKENS : options.contextLength;
  }

  /** Errors: as `Engine.embed`. */
  async embed(inputs: readonly (readonly Token[])[], isOver: () => boolean): Promise<readonly Embedding[]> {
    if (this.#pooling === RANK) {
      throw new CodedError("not_supported", "This model ranks documents and makes no embeddings; ask another model.");
    }
    return this.#inTurn("embedding", inputs, isOver);
  }

  /** Errors: as `Engine.rank`. */
  async rank(inputs: readonly (readonly Token[])[], isOver: () => boolean): Promise<readonly Score[]> {
    if (this.#pooling !== RANK) {
      throw new CodedError("not_supported", "This model has no head that ranks documents; ask another model.");
    }
    const results = await this.#inTurn("ranking", inputs, isOver);
    // A head with several labels has the one that says yes first.
    return results.map(({ vector, tokens }) => ({ score: vector[0]!, tokens }));
  }

  async #inTurn(
    kind: "embedding" | "ranking",
    inputs: readonly (readonly Token[])[],
    isOver: () => boolean,
  ): Promise<readonly Embedding[]> {
    const { contextLength, queueLength } = this.#options;
    for (const { length } of inputs) {
      if (length > contextLength) throw contextLengthExceeded(kind, length, contextLength);
    }
    if (this.#waiting > queueLength) {
      throw new CodedError("rate_limit_exceeded", "Too many requests for embeddings wait already. Try again later.");
    }
    this.#waiting += 1;
    const result = this.#last.then(() => this.#compute(inputs, isOver));
    this.#last = result.catch(() => undefined);
    try {
      return await result;
    } finally {
      this.#waiting -= 1;
    }
  }

  async close(): Promise<void> {
    await this.#last;
    await (await this.#context)?.dispose();
  }

  async #compute(inputs: readonly (readonly Token[])[], isOver: () => boolean): Promise<Embedding[]> {
    const results: Embedding[] = [];
    for (const tokens of inputs) results.push({ vector: await this.#vectorOf(tokens, isOver), tokens: tokens.length });
    return results;
  }

  /** A text longer than a piece is evaluated piece by piece; the mean of all its tokens is that of the pieces' means. */
  async #vectorOf(tokens: readonly Token[], isOver: () => boolean): Promise<Float32Array> {
    const context = await this.#open();
    context.disposeSequence(0);
    let vector: Float64Array = new Float64Array(0);
    for (let start = 0; start < tokens.length; start += this.#pieceTokens) {
      if (isOver()) throw new CodedError("client_left", "The client left.");
      const piece = Uint32Array.from(tokens.slice(start, start + this.#pieceTokens));
      context.initBatch(piece.length);
      context.addToBatch(0, start, piece, Uint32Array.of(piece.length - 1));
      await context.decodeBatch();
      const pooled = context.getEmbedding(piece.length);
      if (this.#pooling !== MEAN) {
        if (start === 0 || this.#pooling !== FIRST) vector = pooled;
        continue;
      }
      const share = piece.length / tokens.length;
      vector = pooled.map((value, index) => (vector[index] ?? 0) + value * share);
    }
    return Float32Array.from(vector);
  }

  #open(): Promise<NativeContext> {
    const { contextLength, threads, noRoom } = this.#options;
    if (noRoom !== undefined) return Promise.reject(new CodedError("unsupported_value", noRoom));
    if (this.#context === undefined) this.#options.onOpen?.();
    this.#context ??= this.#native
      .openContext(this.#model, {
        cells: contextLength,
        sequences: 1,
        threads,
        batchTokens: Math.min(this.#pieceTokens, contextLength),
        embeddings: true,
      })
      .catch((error: unknown) => {
        // Memory may be free the next time.
        this.#context = undefined;
        throw error;
      });
    return this.#context;
  }
}
