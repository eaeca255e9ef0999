import { setTimeout as sleep } from "node:timers/promises";

import { PassingFailure } from "./hub.ts";

const FIRST_DELAY_MS = 1000;
const MAX_DELAY_MS = 30_000;
/** A server that asks for more is told to the user instead. */
const MAX_RETRY_AFTER_MS = 120_000;
/** A connection that brings nothing for so long is given up. */
const STALL_MS = 60_000;

export interface RetryOptions {
  /** A sentence for the user, saying what went wrong and when it is tried again. */
  readonly onNotice?: ((sentence: string) => void) | undefined;
  /** For tests. */
  readonly firstDelayMs?: number;
  readonly stallMs?: number;
}

/** Aborts a connection that brings nothing. */
interface Stall {
  readonly signal: AbortSignal;
  restart(): void;
}
export type Retry = <Result>(
  maxFailures: number,
  doneBytes: () => number,
  attempt: (stall: Stall) => Promise<Result>,
) => Promise<Result>;

/** Tries again after what may pass, later each time; new bytes are a new beginning. */
export function createRetry(options: RetryOptions, signal: AbortSignal): Retry {
  return async (maxFailures, doneBytes, attempt) => {
    let failures = 0;
    let mostBytes = doneBytes();
    for (;;) {
      const stalled = new AbortController();
      const timer = setTimeout(() => stalled.abort(), options.stallMs ?? STALL_MS);
      try {
        return await attempt({ signal: AbortSignal.any([signal, stalled.signal]), restart: () => timer.refresh() });
      } catch (error) {
        const failure =
          stalled.signal.aborted && !signal.aborted ? new PassingFailure("the connection brought nothing more") : error;
        if (!(failure instanceof PassingFailure) || signal.aborted) throw failure;
        // A server that ignores ranges brings the same bytes again and again: these do not count.
        failures = doneBytes() > mostBytes ? 1 : failures + 1;
        mostBytes = Math.max(mostBytes, doneBytes());
        const delayMs = failure.retryAfterMs ?? backOffMs(options.firstDelayMs ?? FIRST_DELAY_MS, failures);
        if (failures >= maxFailures || delayMs > MAX_RETRY_AFTER_MS) throw failure;
        options.onNotice?.(`${failure.message}; trying again in ${Math.ceil(delayMs / 1000)} s`);
        await sleep(delayMs, undefined, { signal });
      } finally {
        clearTimeout(timer);
      }
    }
  };
}

/** Doubled each time, and off by up to a quarter, so that many clients do not come back together. */
function backOffMs(firstMs: number, failures: number): number {
  return Math.min(MAX_DELAY_MS, firstMs * 2 ** (failures - 1)) * (0.75 + Math.random() / 2);
}
