import { join } from "node:path";

import { CodedError } from "../src/domain/errors.ts";
import { takeLock } from "./files/file-lock.ts";

/** Takes the data directory for this process. Resolves to its release. Errors: `already_running` with the holder's pid. */
export async function acquireLock(directory: string): Promise<() => Promise<void>> {
  return takeLock(join(directory, "lock"), ({ pid }) => {
    const message = `another pinference, process ${pid}, uses ${directory}; end it, or give another place with --data-dir`;
    return new CodedError("already_running", message, { details: { pid } });
  });
}
