import { open, rename, rm, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";

import { isDiskFull } from "../files/disk-full.ts";
import { CodedError } from "../../src/domain/errors.ts";

/**
 * A file that appears under its name only when it is complete: written as `<path>.part`, flushed, then renamed.
 * Errors: `disk_full`, `data_directory`.
 */
export class PartFile {
  readonly #path: string;
  readonly #handle: FileHandle;
  #size = 0;

  private constructor(path: string, handle: FileHandle) {
    this.#path = path;
    this.#handle = handle;
  }

  static async create(path: string): Promise<PartFile> {
    return await explained(path, async () => new PartFile(path, await open(`${path}.part`, "w")));
  }

  /** Where the bytes are until `commit`. */
  get partPath(): string {
    return `${this.#path}.part`;
  }

  /** Bytes appended so far. */
  get size(): number {
    return this.#size;
  }

  async append(pieces: readonly Uint8Array[]): Promise<void> {
    const wanted = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
    if (wanted === 0) return;
    const at = this.#size;
    this.#size += wanted;
    await explained(this.#path, async () => {
      const { bytesWritten } = await this.#handle.writev(pieces, at);
      // A disk that fills up may take a part; writing the rest gives the reason.
      let written = bytesWritten;
      if (written === wanted) return;
      for (const rest = Buffer.concat(pieces); written < wanted;) {
        written += (await this.#handle.write(rest, written, wanted - written, at + written)).bytesWritten;
      }
    });
  }

  async overwrite(bytes: Uint8Array, at: number): Promise<void> {
    await explained(this.#path, () => this.#handle.write(bytes, 0, bytes.byteLength, at));
  }

  async commit(): Promise<void> {
    await explained(this.#path, async () => {
      await this.#handle.sync();
      await this.#handle.close();
      await rename(this.partPath, this.#path);
      await syncDirectory(dirname(this.#path));
    });
  }

  async discard(): Promise<void> {
    await this.#handle.close().catch(() => undefined); // closed already when the rename failed
    await rm(this.partPath, { force: true });
  }
}

/** Makes the rename itself survive a power cut. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Runs a step that writes at `path`, and turns what the operating system says into what the operator can do. */
export async function explained<T>(path: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const folder = dirname(path);
    if (isDiskFull(error)) {
      throw new CodedError("disk_full", `no space left in "${folder}" for "${path}": free some and run again`, {
        cause: error,
      });
    }
    if (code === "EACCES" || code === "EPERM" || code === "EROFS") {
      throw new CodedError("data_directory", `may not write in "${folder}" (${code}): choose a folder of your own`, {
        cause: error,
      });
    }
    if (code === "ENOENT" || code === "ENOTDIR" || code === "EISDIR" || code === "ENOTEMPTY" || code === "EEXIST") {
      throw new CodedError("data_directory", `cannot create "${path}" (${code}): check that "${folder}" is a folder`, {
        cause: error,
      });
    }
    if (code === "EFBIG") {
      throw new CodedError("data_directory", `the file system of "${folder}" takes no file of this size`, {
        cause: error,
      });
    }
    throw error;
  }
}
