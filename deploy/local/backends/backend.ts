import type { Agent } from "node:http";

import type { FileHash, ItemHash } from "../../../src/domain/hash.ts";
import type { Configuration } from "../../../src/guest/protocol.ts";
import type { Connect } from "../guest-connection.ts";

/** A stored image. Equal hashes are equal bytes, so what is derived from one can be kept under its hash. */
export interface ImageFile {
  readonly path: string;
  readonly fileHash: FileHash;
}

/** A PROGRAM, its refs resolved to files on this machine. */
export interface ProgramFiles {
  readonly itemHash: ItemHash;
  readonly runtime: ImageFile;
  readonly code: ImageFile & { readonly entrypoint: string; readonly mount: string };
  readonly volumes: readonly (ImageFile & { readonly mount: string })[];
  readonly variables: Readonly<Record<string, string>>;
  readonly resources: { readonly vcpus: number; readonly memoryMiB: number; readonly seconds: number };
}

/** A started program. */
export interface RunningProgram {
  /** For one exchange of the guest protocol. */
  readonly connect: Connect;
  /** Where the server inside speaks HTTP/1.1 itself, and so can stream. Undefined where only the protocol reaches it. */
  readonly http: { readonly agent: Agent; readonly socketPath: string } | undefined;
  /** Resolves when the program has ended, for whatever reason, with a sentence that says which. */
  readonly exited: Promise<string>;
  /** Ends it, politely first; resolves when nothing of it is left. */
  stop(): Promise<void>;
}

/** A way to run programs: as processes on this machine, or in microVMs. */
export interface Backend {
  readonly name: "process" | "microvm";
  /**
   * Resolves when the guest is configured; its server may still be starting, its model be loading.
   * Errors: `program_failed` with the last lines of its log; a `SetupRefused` or `SetupFailed`.
   */
  start(program: ProgramFiles, signal: AbortSignal): Promise<RunningProgram>;
  /** Removes what was derived of images that are not among these. Called before the first start. */
  collect?(named: ReadonlySet<FileHash>): Promise<void>;
}

/** What a supervisor tells the guest. The runtime is `vda`; code and volumes follow, in the message's order. */
export function toConfiguration({ itemHash, code, volumes, variables }: ProgramFiles): Configuration {
  return {
    vmHash: itemHash,
    interface: "executable",
    encoding: "squashfs",
    entrypoint: code.entrypoint,
    volumes: [code, ...volumes].map(({ mount }, at) => ({ mount, device: deviceName(at), readOnly: true })),
    variables,
  };
}

/** `vdb` is the first after the runtime. */
export function deviceName(at: number): string {
  return `vd${String.fromCharCode("b".charCodeAt(0) + at)}`;
}
