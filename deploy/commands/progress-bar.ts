/** A progress bar for a terminal; for a log, a line now and then. */
import { formatBytes } from "./format.ts";

export interface Progress {
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly bytesPerSecond?: number;
  readonly secondsLeft?: number | undefined;
}

/** `line` redraws one line, `log` writes a line now and then, `silent` nothing: for --json. */
export type ProgressMode = "line" | "log" | "silent";

export interface ProgressBar {
  update(progress: Progress): void;
  /** Leaves the last state on the screen and ends the line. */
  finish(): void;
}

/** The part of a stream such as process.stderr that is used. */
export interface ProgressStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

const REDRAW_EVERY_MS = 100;
const LOG_EVERY_MS = 10_000;
const BAR_COLUMNS = 24;
const DEFAULT_COLUMNS = 80;

export function progressModeFor(
  stream: ProgressStream,
  environment: Readonly<Record<string, string | undefined>>,
  json: boolean,
): ProgressMode {
  if (json) return "silent";
  const ci = environment["CI"];
  const inCi = ci !== undefined && ci !== "" && ci !== "false" && ci !== "0";
  return stream.isTTY === true && !inCi && environment["TERM"] !== "dumb" ? "line" : "log";
}

export function createProgressBar(
  label: string,
  stream: ProgressStream,
  mode: ProgressMode,
  now: () => number = () => performance.now(),
): ProgressBar {
  if (mode === "silent") return { update() {}, finish() {} };
  const everyMs = mode === "line" ? REDRAW_EVERY_MS : LOG_EVERY_MS;
  let shownAtMs = -Infinity;
  let pending: Progress | undefined;
  let finished = false;

  const show = () => {
    if (pending === undefined) return;
    // The last column stays free: some terminals wrap as soon as it is written.
    const columns = (stream.columns ?? DEFAULT_COLUMNS) - 1;
    // Erasing after writing flickers less than before.
    if (mode === "line") stream.write(`\r${renderProgress(label, pending, columns)}\u001B[K`);
    else stream.write(`${renderProgressLine(label, pending)}\n`);
    pending = undefined;
  };
  return {
    update(progress) {
      if (finished) return;
      pending = progress;
      if (now() - shownAtMs < everyMs) return;
      shownAtMs = now();
      show();
    },
    finish() {
      if (finished) return;
      finished = true;
      show();
      if (mode === "line" && shownAtMs !== -Infinity) stream.write("\n");
    },
  };
}

/** One line of at most `columns` characters. Narrow terminals lose the bar first, then the rate, then the sizes. */
export function renderProgress(label: string, progress: Progress, columns: number): string {
  const sizes = `${formatBytes(progress.doneBytes)} of ${formatBytes(progress.totalBytes)}`;
  const rest = [sizes, rate(progress), timeLeft(progress)].filter((part) => part !== "");
  const variants = [
    [label, bar(progress), percent(progress), ...rest],
    [label, percent(progress), ...rest],
    [label, percent(progress), timeLeft(progress)],
    [label, percent(progress)],
    [percent(progress)],
  ];
  const lines = variants.map((parts) => parts.filter((part) => part !== "").join("  "));
  return lines.find((line) => line.length <= columns) ?? percent(progress).slice(0, Math.max(0, columns));
}

/** For logs: without a bar, as wide as it gets. */
export function renderProgressLine(label: string, progress: Progress): string {
  const sizes = `${formatBytes(progress.doneBytes)} of ${formatBytes(progress.totalBytes)}`;
  const parts = [percent(progress).trim(), sizes, rate(progress), timeLeft(progress)];
  return `${label}: ${parts.filter((part) => part !== "").join(", ")}`;
}

function share({ doneBytes, totalBytes }: Progress): number {
  return totalBytes > 0 ? Math.min(1, Math.max(0, doneBytes / totalBytes)) : 1;
}

/** Rounded down: 100% is only said of a whole. */
function percent(progress: Progress): string {
  return `${Math.floor(share(progress) * 100)}%`.padStart(4);
}

function bar(progress: Progress): string {
  const filled = Math.floor(share(progress) * BAR_COLUMNS);
  return `[${"#".repeat(filled)}${".".repeat(BAR_COLUMNS - filled)}]`;
}

function rate({ bytesPerSecond }: Progress): string {
  return bytesPerSecond === undefined || bytesPerSecond <= 0 ? "" : `${formatBytes(Math.round(bytesPerSecond))}/s`;
}

function timeLeft({ secondsLeft }: Progress): string {
  if (secondsLeft === undefined || !Number.isFinite(secondsLeft)) return "";
  const seconds = Math.max(0, Math.ceil(secondsLeft));
  if (seconds < 60) return `${seconds} s left`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min left`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min left`;
}
