import type { SlotTask } from "../domain/engine.ts";
import type { DraftLimits, FinishReason } from "../domain/generation.ts";
import type { NativeContext, Token } from "./native.ts";
import type { Sampler } from "./sampler.ts";

/** One answer to compute. The scheduler calls back; no callback may throw. */
export interface Job {
  readonly prompt: readonly Token[];
  /** Most completion tokens; 0 evaluates the prompt and ends. */
  readonly limit: number;
  /** Belongs to a request that runs already, so it takes no place in the queue. */
  readonly isFurtherChoice: boolean;
  /** A grammar governs the answer, or will: there may be no token to draw. */
  readonly isConstrained: boolean;
  /** Whether what slots hold of the prompt may be reused. */
  readonly reuse: boolean;
  /** Taken where it is free. */
  readonly wantedSlot: number | undefined;
  /** Whether `readPromptRows` shall see the rows of all prompt tokens. */
  readonly wantsPromptRows: boolean;
  /** What it is, for reports. */
  readonly task?: SlotTask;
  /** How many tokens may be guessed, to evaluate several at once; the answer is the same either way. */
  readonly draft: DraftLimits;
  /** Called once, when the job gets its slot. */
  createSampler(): Sampler;
  onStart(cachedTokens: number, slot: number): void;
  /** Tokens of the prompt that are evaluated now, reused ones included. */
  onProgress(processed: number): void;
  /** `rows`: of prompt tokens from `from` on, in the batch that was just decoded. */
  readPromptRows(context: NativeContext, rows: Uint32Array, from: number): Promise<void>;
  /** The whole prompt is evaluated. */
  onPrompt(): void;
  /** Of so many guessed tokens, the first `accepted` were right. */
  onDraft(drafted: number, accepted: number): void;
  /** Returns why the answer is complete with this token: at a stop sequence, or at a limit of its own. */
  onToken(token: Token): FinishReason | undefined;
  /** The model ended with this token; undefined where no token could be drawn. */
  reasonOfEnd(token: Token | undefined): FinishReason;
  onEnd(reason: FinishReason): void;
  onError(error: unknown): void;
}
