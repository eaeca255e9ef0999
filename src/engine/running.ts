import type { Drafter } from "./drafts.ts";
import type { Job } from "./job.ts";
import type { Token } from "./native.ts";
import type { Sampler } from "./sampler.ts";
import type { Slot } from "./slots.ts";

/** A job that has its slot. */
export interface Running {
  readonly job: Job;
  readonly sampler: Sampler;
  /** Rank of admission: earlier prompts are evaluated first. */
  readonly order: number;
  /** Sampled and not yet evaluated, in order. */
  readonly pending: Token[];
  /** From the first token on, where drafts may be made. */
  drafter: Drafter | undefined;
  produced: number;
  cancelled: boolean;
}

/** What a batch holds of one sequence. */
export interface Part {
  readonly slot: Slot<Running>;
  readonly running: Running;
  readonly tokens: Uint32Array;
  readonly isPrompt: boolean;
  /** How many of the tokens, at their end, are only guessed. */
  readonly drafted: number;
}

/** What one job asks for must not end the others. */
export function createSampler(job: Job): Sampler | undefined {
  try {
    return job.createSampler();
  } catch (error) {
    job.onError(error);
    return undefined;
  }
}
