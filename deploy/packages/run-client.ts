import { execFile } from "node:child_process";

import { CodedError } from "../../src/domain/errors.ts";

/** A download that is stuck, not slow: the largest package takes seconds. */
const LIMIT_MS = 600_000;

export interface ClientRun {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs an ordinary package client, in the C locale so that its messages can be recognised.
 * Errors: `not_supported` when it is not installed; `interrupted`.
 */
export async function runClient(
  program: string,
  args: readonly string[],
  { cwd, signal }: { readonly cwd: string; readonly signal: AbortSignal | undefined },
): Promise<ClientRun> {
  return new Promise((resolve, reject) => {
    const options = { cwd, env: { ...process.env, LC_ALL: "C" }, timeout: LIMIT_MS, maxBuffer: 16 * 2 ** 20 };
    execFile(program, args, { ...options, ...(signal === undefined ? {} : { signal }) }, (error, stdout, stderr) => {
      if (signal?.aborted === true) reject(new CodedError("interrupted", `${program} was interrupted`));
      else if ((error as NodeJS.ErrnoException | null)?.code === "ENOENT") {
        reject(new CodedError("not_supported", `${program} is not installed on this machine`, { cause: error }));
      } else resolve({ status: error === null ? 0 : Number(error.code ?? 1), stdout, stderr });
    });
  });
}
