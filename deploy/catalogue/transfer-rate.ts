export interface TransferProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** Over the last seconds; 0 until it can be known. */
  readonly bytesPerSecond: number;
  /** Undefined until the rate is known. */
  readonly secondsLeft: number | undefined;
}

/** Long enough to even out a stutter, short enough to follow a change of speed. */
const WINDOW_MS = 8000;
const SAMPLE_EVERY_MS = 200;

/** Turns byte counts into progress. `now` gives milliseconds that never go back. */
export function createRateMeter(totalBytes: number, now: () => number = () => performance.now()) {
  const samples: { atMs: number; doneBytes: number }[] = [];
  return (doneBytes: number): TransferProgress => {
    const atMs = now();
    const last = samples.at(-1);
    if (last === undefined || atMs - last.atMs >= SAMPLE_EVERY_MS) samples.push({ atMs, doneBytes });
    while (samples.length > 2 && atMs - (samples[0]?.atMs ?? 0) > WINDOW_MS) samples.shift();

    const first = samples[0];
    const elapsedMs = first === undefined ? 0 : atMs - first.atMs;
    // Before half a second, the rate would be that of one burst.
    const bytesPerSecond =
      first === undefined || elapsedMs < 500 ? 0 : ((doneBytes - first.doneBytes) / elapsedMs) * 1000;
    const secondsLeft = bytesPerSecond > 0 ? (totalBytes - doneBytes) / bytesPerSecond : undefined;
    return { doneBytes, totalBytes, bytesPerSecond, secondsLeft };
  };
}
