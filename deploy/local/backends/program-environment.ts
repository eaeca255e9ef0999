import { availableParallelism } from "node:os";

import type { ProgramFiles } from "./backend.ts";

export interface ProgramPlace {
  readonly socketPath: string;
  readonly rootDirectory: string;
}

// Names by which a program's environment can make the process load or trust other things than its volumes.
const DENIED =
  /^(?:NODE_|UV_|LD_|DYLD_|GGML_|OPENSSL_|SSL_|MALLOC_|GLIBC_|GCONV_|PATH$|HOME$|SHELL$|TMPDIR$|IFS$|ENV$|BASH_ENV$)/;
const ORDINARY_NAME = /^[A-Z][A-Z0-9_]*$/;

/**
 * The whole environment of a program: nothing of this process but PATH, so none of its secrets.
 * The message's variables cannot replace what is set here.
 *
 * `PINFERENCE_EXIT_WITH_PARENT=1` asks the program to end when its standard input closes: the system closes it however
 * the local node ends, even by SIGKILL.
 */
export function programEnvironment(
  { variables, resources }: ProgramFiles,
  { socketPath, rootDirectory }: ProgramPlace,
): Record<string, string> {
  const allowed = Object.entries(variables).filter(([name]) => ORDINARY_NAME.test(name) && !DENIED.test(name));
  return {
    ...Object.fromEntries(allowed),
    PATH: process.env["PATH"] ?? "/usr/bin:/bin",
    NODE_ENV: "production",
    // One libuv thread: inference that wanders between threads loses half of its speed.
    UV_THREADPOOL_SIZE: "1",
    PINFERENCE_SOCKET: socketPath,
    PINFERENCE_ROOT: rootDirectory,
    PINFERENCE_THREADS: String(Math.min(resources.vcpus, availableParallelism())),
    PINFERENCE_EXIT_WITH_PARENT: "1",
  };
}
