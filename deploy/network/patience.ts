/** How long a node is waited for, in milliseconds. */
export interface Patience {
  /** For an answer. A node that is silent longer is asked again, a few times. */
  readonly answerMs: number;
  /** For the next byte of an upload, either way: a node may think long before it answers. */
  readonly uploadMs: number;
  /** Until a message is processed. */
  readonly processingMs: number;
}

/** A node retries for 811 s at most before it rejects. */
export const PATIENCE: Patience = { answerMs: 60_000, uploadMs: 300_000, processingMs: 900_000 };

/** From the seconds that an operator gives: a node that takes a file has five times as long. */
export function patienceOf(seconds: { readonly timeout: number; readonly wait: number }): Patience {
  const answerMs = seconds.timeout * 1000;
  return { answerMs, uploadMs: 5 * answerMs, processingMs: seconds.wait * 1000 };
}
