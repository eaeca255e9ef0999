import { basename } from "node:path";

import { CodedError } from "../../src/domain/errors.ts";
import { takeLock } from "../files/file-lock.ts";

/** Lets this process alone write a file. Resolves to its release. Errors: `already_running`, with who holds it. */
export async function lockDownload(path: string): Promise<() => Promise<void>> {
  return takeLock(`${path}.lock`, ({ pid, host }) => {
    const who = `process ${pid} on ${host}`;
    const advice = "Wait for it, or end it and run the same command again";
    return new CodedError("already_running", `${basename(path)} is being downloaded by ${who}. ${advice}.`);
  });
}
