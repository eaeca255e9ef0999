import { randomUUID } from "node:crypto";
import { closeSync, existsSync, fstatSync, openSync, statfsSync, unlinkSync } from "node:fs";
import { join } from "node:path";

/** Where systems have memory that is used by way of files. */
const DIRECTORIES = ["/dev/shm", "/tmp", "/run"];
/** Source: Linux, include/uapi/linux/magic.h, TMPFS_MAGIC. */
const TMPFS = 0x01021994;

/** A file in memory. The library reaches it by its path; no other name leads to it. */
export interface StateFile {
  readonly path: string;
  readonly bytes: number;
  close(): void;
}

/**
 * Files in memory that lose their name at once, so that the system frees them with this process, however it ends, and
 * nobody else can open them. Linux only: its `/proc/self/fd` still leads to them.
 */
export class StateFiles {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** In the roomiest of the memory's file systems; undefined where there is none. */
  static open(directories: readonly string[] = DIRECTORIES): StateFiles | undefined {
    if (!existsSync("/proc/self/fd")) return undefined;
    const [best] = directories
      .map((directory) => ({ directory, free: freeBytes(directory) }))
      .filter(({ free }) => free > 0)
      .sort((a, b) => b.free - a.free);
    return best === undefined ? undefined : new StateFiles(best.directory);
  }

  /** What further files can hold. */
  get freeBytes(): number {
    return freeBytes(this.#directory);
  }

  /** An empty file. Errors: the system's own. */
  create(): StateFile {
    const name = join(this.#directory, `pinference-${randomUUID()}`);
    const fd = openSync(name, "wx+", 0o600);
    unlinkSync(name);
    return {
      path: `/proc/self/fd/${fd}`,
      get bytes() {
        return fstatSync(fd).size;
      },
      close: () => closeSync(fd),
    };
  }
}

function freeBytes(directory: string): number {
  try {
    const { type, bavail, bsize } = statfsSync(directory);
    return type === TMPFS ? bavail * bsize : 0;
  } catch {
    return 0;
  }
}
