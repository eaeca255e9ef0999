/** Requests of the SDK, which has no time limit and hides what it was answered. */

/** The HTTP status in one of the SDK's errors; undefined when there was no answer. */
export function statusOf(error: unknown): number | undefined {
  const status = (error as { response?: { status?: number } } | undefined)?.response?.status;
  const inText = error instanceof Error ? /status code (\d{3})/.exec(error.message)?.[1] : undefined;
  return status ?? (inText === undefined ? undefined : Number(inText));
}

/** The SDK knows neither signal nor time limit: its request is left to end by itself. */
export async function orGiveUp<Result>(
  work: Promise<Result>,
  limitMs: number,
  signal: AbortSignal | undefined,
): Promise<Result> {
  const timeout = AbortSignal.timeout(limitMs);
  const either = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
  either.throwIfAborted();
  const listening = new AbortController();
  const aborted = new Promise<never>((_resolve, reject) => {
    either.addEventListener("abort", () => reject(either.reason as Error), { signal: listening.signal });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    listening.abort();
    // It may still fail when nobody listens any more.
    work.catch(() => undefined);
  }
}

export function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.name === "TimeoutError";
}
