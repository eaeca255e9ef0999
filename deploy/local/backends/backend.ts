import type { Agent } from "node:http";

import type { FileHash, ItemHash } from "../../../src/domain/hash.ts";

/** A stored image. Equal hashes are equal bytes, so what is derived from one can be kept under its hash. */
export interface ImageFile {
  readonly path: string;
  readonly fileHash: FileHash;
}

/** A PROGRAM, its refs resolved to files on this machine. */
export interface ProgramFiles {
  readonly itemHash: ItemHash;
  readonly code: ImageFile & { readonly entrypoint: string; readonly mount: string };
  readonly volumes: readonly (ImageFile & { readonly mount: string })[];
  readonly variables: Readonly<Record<string, string>>;
  readonly resources: { readonly vcpus: number; readonly memoryMiB: number; readonly seconds: number };
}

/** A started program. */
export interface RunningProgram {
  /** Speaks HTTP/1.1 to the server inside. */
  readonly agent: Agent;
  readonly socketPath: string;
  /** Resolves when the program has ended, for whatever reason, with a sentence that says which. */
  readonly exited: Promise<string>;
  /** Ends it, politely first; resolves when nothing of it is left. */
  stop(): Promise<void>;
}

/** A way to run programs: as processes on this machine, or in microVMs. */
export interface Backend {
  readonly name: "process" | "microvm";
  /**
   * Resolves when the program's server accepts connections; its model may still be loading.
   * Errors: `program_failed` with the last lines of its log.
   */
  start(program: ProgramFiles, signal: AbortSignal): Promise<RunningProgram>;
}
