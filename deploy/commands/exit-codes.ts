import { constants } from "node:os";

import type { CodedError } from "../../src/domain/errors.ts";

/** What `plan` and `verify` end with when all went well and the answer is no. */
export const SOMETHING_TO_DO = 4;

/** 70 is EX_SOFTWARE of sysexits.h. */
const BUG = 70;

const BY_BLAME = { operator: 1, caller: 1, network: 3, load: 3 } as const;

export const EXIT_CODES_HELP = [
  ["0", "done"],
  ["1", "something on this machine has to change: a file, an option's value, the data directory"],
  ["2", "the command line cannot be read"],
  ["3", "the network or the program did not answer as it should; trying again may help"],
  ["4", "plan: there is something to do; verify: something is not as it should be"],
  ["70", "a bug in pinference"],
  ["130", "ended by Ctrl-C (143 by a termination signal)"],
] as const;

/** Which code the process ends with. `error` undefined means that it is nothing this product foresaw. */
export function exitCodeOf(error: CodedError | undefined): number {
  if (error === undefined) return BUG;
  if (error.code === "usage") return 2;
  if (error.code === "interrupted") return signalExitCode(error.details["signal"] === "SIGTERM" ? "SIGTERM" : "SIGINT");
  return BY_BLAME[error.blame];
}

/** What shells report for a process that a signal ended. */
export function signalExitCode(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal];
}
