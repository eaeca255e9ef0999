import type { GenerateRequest, GenerationStep } from "./generation.ts";
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

export interface SlotStatus {
  readonly id: number;
  readonly busy: boolean;
  /** Tokens whose state the slot holds, for reuse. */
  readonly cachedTokens: number;
}

export interface EngineStatus {
  readonly slots: readonly SlotStatus[];
  /** Requests that wait for a slot. */
  readonly queued: number;
}

/** The port between the server and inference. `src/engine` implements it; tests may fake it. */
export interface Engine {
  /** Known only when the model is loaded; the server waits for `ready` first. */
  readonly model: ModelCard;
  /** Resolves when requests can be answered; rejects with `model_load_failed` and the like, for good. */
  readonly ready: Promise<void>;
  /** True once `ready` has resolved and until `close`. */
  readonly isReady: boolean;
  /**
   * Renders and tokenizes the prompt and takes a place in the queue.
   * Errors, all before any step: `context_length_exceeded` (details `n_prompt_tokens`, `n_ctx`), `rate_limit_exceeded`
   * when the queue is full, `invalid_value` where the model's template refuses the conversation.
   */
  generate(request: GenerateRequest, signal: AbortSignal): Promise<Generation>;
  status(): EngineStatus;
  /** Ends running generations with `shutting_down` and frees all native memory. */
  close(): Promise<void>;
}
