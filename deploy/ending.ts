import { CodedError } from "../src/domain/errors.ts";
import { signalExitCode } from "./commands/exit-codes.ts";

/** npm hands a Ctrl-C on although the terminal has sent it already: a twin so soon is the same keystroke. */
const SAME_KEYSTROKE_MS = 300;
/** After a failure nobody foresaw, what still runs has this long to end. */
const LAST_CHANCE_MS = 5000;
const BUG = 70;

/** The first Ctrl-C or termination signal ends the command in good order; the second ends the process at once. */
export function endOnSignals(ending: AbortController): void {
  let firstAt: number | undefined;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      if (firstAt === undefined) {
        firstAt = performance.now();
        ending.abort(new CodedError("interrupted", `ended by ${signal}`, { details: { signal } }));
      } else if (performance.now() - firstAt > SAME_KEYSTROKE_MS) {
        process.exit(signalExitCode(signal));
      }
    });
  }
}

/** A failure that nobody caught ends the command like a signal, and is reported as its reason. */
export function endOnBugs(ending: AbortController): void {
  const end = (error: unknown) => {
    ending.abort(error);
    setTimeout(() => process.exit(BUG), LAST_CHANCE_MS).unref();
  };
  process.on("unhandledRejection", end);
  process.on("uncaughtException", end);
}

/** `pinference … | head` closes the pipe early, which is no reason to fail. */
export function ignoreClosedPipes(...streams: readonly NodeJS.WriteStream[]): void {
  for (const stream of streams) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
    });
  }
}
