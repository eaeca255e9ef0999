import type {
  ChatPrompt,
  GenerateRequest,
  GenerationStep,
  InfillPrompt,
  Prompt,
  TokenizedParts,
} from "./generation.ts";
import type { ModelCard } from "./model.ts";

/** An accepted request. */
export interface Generation {
  /** Tokens of the rendered prompt. */
  readonly promptTokens: number;
  /**
   * Yields the steps; can be read once. Leaving the loop, or aborting the signal given to `Engine.generate`, ends the
   * computation within one token and frees the slot. Errors: a `CodedError`; `client_left` after an abort.
   */
  readonly steps: AsyncIterable<GenerationStep>;
}

/** What a model makes of a text as a whole. */
export interface Embedding {
  /** Not normalised; pooled as the model says, and as the mean over its tokens where it says nothing. */
  readonly vector: Float32Array;
  /** Tokens of the text, the model's own first and last ones included. */
  readonly tokens: number;
}

/** What a ranking head makes of a query and a document. */
export interface Score {
  /** The higher, the better; some models give numbers from 0 to 1, others any. */
  readonly score: number;
  /** Of both and of what the model puts around them. */
  readonly tokens: number;
}

export interface SlotStatus {
  readonly id: number;
  readonly busy: boolean;
  /** Tokens whose state the slot holds, for reuse. */
  readonly cachedTokens: number;
  /** What a busy slot computes; undefined where that is not known. */
  readonly task?: SlotTask;
}

/** One answer that is being computed. */
export interface SlotTask {
  /** Its own among all answers of this process. */
  readonly id: number;
  readonly request: Omit<GenerateRequest, "prompt">;
  readonly promptTokens: number;
  /** Sampled so far. */
  readonly tokens: number;
  /** Whether the answer has a line end yet. */
  readonly hasNewLine: boolean;
}

export interface TokenizeOptions {
  /** Put the model's own first token in front, where it has one. */
  readonly addSpecial: boolean;
  /** Read control tokens written in the text as such. */
  readonly parseSpecial: boolean;
}

export interface EngineStatus {
  readonly slots: readonly SlotStatus[];
  /** Requests that wait for a slot. */
  readonly queued: number;
  /** Batches computed since the start. */
  readonly batches: number;
  /** Busy slots, summed over these batches. */
  readonly busySlotsInBatches: number;
  readonly idlePrefixes: IdlePrefixesStatus;
}

/** States of conversations that are kept in memory without a slot. */
export interface IdlePrefixesStatus {
  readonly count: number;
  /** Of memory. */
  readonly bytes: number;
  /** How often one was brought back into a slot. */
  readonly restored: number;
}

/** The port between the server and inference. `src/engine` implements it; tests may fake it. */
export interface Engine {
  /** Known only when the model is loaded; the server waits for `ready` first. */
  readonly model: ModelCard;
  /** Resolves when requests can be answered; rejects with `model_load_failed` and the like, for good. */
  readonly ready: Promise<void>;
  /** True once `ready` has resolved and until `close`. */
  readonly isReady: boolean;
  /** How much of the model file has been read, from 0 to 1. */
  readonly loadProgress: number;
  /**
   * Renders and tokenizes the prompt and takes a place in the queue.
   * Errors, all before any step: `context_length_exceeded` (details `n_prompt_tokens`, `n_ctx`), `rate_limit_exceeded`
   * when the queue is full, `invalid_value` where the model's template refuses the conversation, `not_supported` for an
   * `infill` prompt where the model has no tokens for that.
   */
  generate(request: GenerateRequest, signal: AbortSignal): Promise<Generation>;
  /**
   * The vectors of texts, in their order, beside running generations. Text is never parsed for control tokens.
   * Errors: `context_length_exceeded` (`param` is `input`), `invalid_value` for a token id outside the vocabulary,
   * `rate_limit_exceeded` when too many wait, `not_supported` where the model only ranks, `client_left` after an abort,
   * which is seen between two pieces of text.
   */
  embed(inputs: readonly TokenizedParts[], signal: AbortSignal): Promise<readonly Embedding[]>;
  /**
   * The scores of documents for a query, in their order, by the model's ranking head. Text is never parsed for control
   * tokens. Errors: as `embed` (`param` is `documents`); `not_supported` where the model has no such head.
   */
  rank(query: string, documents: readonly string[], signal: AbortSignal): Promise<readonly Score[]>;
  /** Tokens of a prompt, exactly as `generate` would count them; a prompt beyond the context is counted too. */
  count(prompt: Prompt): Promise<number>;
  /** The prompt as the model would read it. Errors: `invalid_value` where its template refuses; `not_supported` for a gap. */
  render(prompt: ChatPrompt | InfillPrompt): string;
  /** Errors: `invalid_value` for a token id outside the vocabulary. */
  tokenize(parts: TokenizedParts, options: TokenizeOptions): number[];
  /** The text of tokens, control tokens written out. Errors: `invalid_value` for an id outside the vocabulary. */
  detokenize(tokens: readonly number[]): string;
  /** The bytes that each token stands for: not always whole characters. Errors as `detokenize`. */
  pieces(tokens: readonly number[]): Uint8Array[];
  status(): EngineStatus;
  /**
   * Has a slot forget what it holds, once it is free. Returns the count of tokens.
   * Errors: `invalid_value` for a slot that is not there, `shutting_down`.
   */
  eraseSlot(id: number): Promise<number>;
  /** Ends running generations with `shutting_down` and frees all native memory. */
  close(): Promise<void>;
}
