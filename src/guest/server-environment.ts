import { availableParallelism } from "node:os";

// Names by which a program's environment can make the process load or trust other things than its volumes.
const DENIED =
  /^(?:NODE_|UV_|LD_|DYLD_|GGML_|OPENSSL_|SSL_|MALLOC_|GLIBC_|GCONV_|PATH$|HOME$|SHELL$|TMPDIR$|IFS$|ENV$|BASH_ENV$)/;
const ORDINARY_NAME = /^[A-Z][A-Z0-9_]*$/;

export interface ServerPlace {
  readonly socketPath: string;
  readonly rootDirectory: string;
  readonly threads: number | undefined;
  readonly memoryMiB: number | undefined;
}

/**
 * The whole environment of the server: the PROGRAM's variables, which everybody can read and its publisher wrote, and
 * what is set here, which they cannot replace.
 *
 * `PINFERENCE_EXIT_WITH_PARENT=1` asks the server to end when its standard input closes: the system closes it however
 * the guest init ends, even by SIGKILL.
 */
export function serverEnvironment(
  variables: Readonly<Record<string, string>>,
  { socketPath, rootDirectory, threads, memoryMiB }: ServerPlace,
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
    PINFERENCE_THREADS: String(Math.min(threads ?? Infinity, availableParallelism())),
    ...(memoryMiB === undefined ? {} : { PINFERENCE_MEMORY_MIB: String(memoryMiB) }),
    PINFERENCE_EXIT_WITH_PARENT: "1",
  };
}
