import type { Timings, Usage } from "../domain/generation.ts";

/** What all parts of one answer have in common. */
export interface AnswerHead {
  readonly id: string;
  /** When the request was accepted, in seconds since 1970. */
  readonly created: number;
  readonly model: string;
  readonly fingerprint: string;
}

export interface Answer {
  readonly body: unknown;
  readonly usage: Usage | undefined;
  readonly timings: Timings | undefined;
}
