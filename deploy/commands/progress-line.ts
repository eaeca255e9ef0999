import { createRateMeter } from "../catalogue/transfer-rate.ts";
import type { ProgressEvent } from "./events.ts";
import type { ProgressLine } from "./output.ts";
import { createProgressBar, type ProgressBar, type ProgressMode, type ProgressStream } from "./progress-bar.ts";

/** Stages that end sooner than this show no bar: a flicker, or a line in a log, would tell nothing. */
const PATIENCE_MS = { line: 300, log: 10_000, silent: Infinity } as const;

/** One progress bar at a time, for whatever stage reports; it is erased when the stage is over. */
export function createProgressLine(
  stream: ProgressStream,
  mode: ProgressMode,
  now: () => number = () => performance.now(),
): ProgressLine {
  let current: { label: string; since: number; bar: ProgressBar; toProgress: ReturnType<typeof createRateMeter> };
  let isActive = false;
  let isDrawn = false;

  function clear(): void {
    isActive = false;
    if (isDrawn && mode === "line") stream.write("\r\u001B[K");
    isDrawn = false;
  }
  return {
    clear,
    draw({ stage, model, doneBytes, totalBytes }: ProgressEvent) {
      const label = `  ${stage}${model === undefined ? "" : ` of ${model}`}`;
      if (!isActive || current.label !== label) {
        clear();
        const bar = createProgressBar(label, stream, mode, now);
        current = { label, since: now(), bar, toProgress: createRateMeter(totalBytes, now) };
        isActive = true;
      }
      const progress = current.toProgress(doneBytes);
      if (now() - current.since < PATIENCE_MS[mode]) return;
      isDrawn = true;
      current.bar.update(progress);
    },
  };
}
