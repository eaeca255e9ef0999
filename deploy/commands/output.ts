import type { Writable } from "node:stream";

import type { CommandEvent, ProgressEvent } from "./events.ts";
import { renderEvent } from "./render.ts";

/** What commands say. The same events become lines for people or JSON lines for programs. */
export interface Output {
  /** Whether a program reads. */
  readonly json: boolean;
  emit(event: CommandEvent): void;
  /** Shows how far a long stage is; erased by the next event. Cheap to call often. */
  progress(event: ProgressEvent): void;
}

/** One line that each drawing replaces. */
export interface ProgressLine {
  draw(event: ProgressEvent): void;
  clear(): void;
}

/** For people: results on `stdout`; progress and errors on `stderr`, progress only where it is a terminal. */
export function humanOutput(streams: {
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly color: boolean;
  readonly progressLine: ProgressLine | undefined;
}): Output {
  const { stdout, stderr, color, progressLine } = streams;
  return {
    json: false,
    emit(event) {
      progressLine?.clear();
      const stream = event.event === "error" || event.event === "note" ? stderr : stdout;
      stream.write(renderEvent(event, color));
    },
    progress(event) {
      progressLine?.draw(event);
    },
  };
}

const PROGRESS_INTERVAL_MS = 1000;

/** For programs: every event is one line of JSON on `stdout`; progress at most once a second. */
export function jsonOutput(stdout: Writable, now: () => number = Date.now): Output {
  let quietUntil = 0;
  const write = (event: CommandEvent | ProgressEvent) => stdout.write(`${JSON.stringify(event)}\n`);
  return {
    json: true,
    emit: write,
    progress(event) {
      if (now() < quietUntil) return;
      quietUntil = now() + PROGRESS_INTERVAL_MS;
      write(event);
    },
  };
}
