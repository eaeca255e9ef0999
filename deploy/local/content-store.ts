/**
 * The local node's files, each named by its hash: <dataDir>/files/<hash>. Bytes are hashed while they are written
 * under a temporary name, and renamed once they are right, so a file that has its name is whole.
 */
import { createHash, randomUUID } from "node:crypto";
import { mkdir, open, readdir, rename, rm, stat, utimes, type FileHandle } from "node:fs/promises";
import { join } from "node:path";

import { isDiskFull } from "../files/disk-full.ts";
import { CodedError } from "../../src/domain/errors.ts";
import { parseFileHash, type FileHash } from "../../src/domain/hash.ts";
import { CidHasher } from "../cid/cid.ts";

const PART = ".part";

/** Received bytes that do not have their name yet. One of `commit` and `discard` must follow. */
export interface ReceivedFile {
  readonly hash: FileHash;
  readonly bytes: number;
  commit(): Promise<void>;
  discard(): Promise<void>;
}

/** More bytes came than the route takes. */
export class TooManyBytes extends Error {}

export interface ContentStoreOptions {
  readonly dataDir: string;
  /** Opens a new file for writing. Tests give a full disk. */
  readonly openPart?: (path: string) => Promise<FileHandle>;
}

export class ContentStore {
  readonly #directory: string;
  readonly #openPart: (path: string) => Promise<FileHandle>;

  private constructor(directory: string, openPart: (path: string) => Promise<FileHandle>) {
    this.#directory = directory;
    this.#openPart = openPart;
  }

  /** Removes what a killed node left half-written. Errors: `data_directory`. */
  static async open({ dataDir, openPart = (path) => open(path, "wx") }: ContentStoreOptions): Promise<ContentStore> {
    const directory = join(dataDir, "files");
    try {
      await mkdir(directory, { recursive: true });
      const names = await readdir(directory);
      const parts = names.filter((name) => name.endsWith(PART));
      await Promise.all(parts.map((name) => rm(join(directory, name), { force: true })));
    } catch (error) {
      throw new CodedError("data_directory", `cannot use ${directory}: is it a writable directory?`, { cause: error });
    }
    return new ContentStore(directory, openPart);
  }

  /**
   * Writes bytes in constant memory; `engine` says which hash they are named by.
   * Errors: `TooManyBytes`, `disk_full`, `data_directory`, and whatever the source throws. No file is left then.
   */
  async receive(
    source: AsyncIterable<Uint8Array>,
    engine: "storage" | "ipfs",
    mostBytes: number,
  ): Promise<ReceivedFile> {
    const part = this.partPath();
    const discard = () => rm(part, { force: true });
    const hasher = engine === "storage" ? sha256Hasher() : new CidHasher();
    let bytes = 0;
    try {
      const file = await onDisk(() => this.#openPart(part));
      try {
        for await (const chunk of source) {
          bytes += chunk.byteLength;
          if (bytes > mostBytes) throw new TooManyBytes();
          hasher.update(chunk);
          await onDisk(() => file.writeFile(chunk));
        }
        await onDisk(() => file.datasync());
      } finally {
        await file.close();
      }
    } catch (error) {
      await discard();
      throw error;
    }
    const hash = hasher.digest();
    return { hash, bytes, discard, commit: () => onDisk(() => rename(part, this.#path(hash))) };
  }

  /** For bytes on their way; what a killed node leaves there is removed at the next start. */
  partPath(): string {
    return join(this.#directory, randomUUID() + PART);
  }

  /** Where the bytes lie; undefined when they are not here. */
  async path(hash: FileHash): Promise<string | undefined> {
    return (await this.bytes(hash)) === undefined ? undefined : this.#path(hash);
  }

  /** Size of a file; undefined when it is not here. */
  async bytes(hash: FileHash): Promise<number | undefined> {
    try {
      return (await stat(this.#path(hash))).size;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  /** Starts the file's days of grace anew: called when its last pin is gone. */
  async touch(hash: FileHash): Promise<void> {
    const now = new Date();
    await utimes(this.#path(hash), now, now).catch(() => undefined);
  }

  /** Deletes the files that nothing pins and that have not been touched since a time in milliseconds since 1970. */
  async sweep(isPinned: (hash: FileHash) => boolean, untouchedSinceMs: number): Promise<void> {
    for (const name of await readdir(this.#directory)) {
      const hash = asFileHash(name);
      if (hash === undefined || isPinned(hash)) continue;
      if ((await stat(this.#path(hash))).mtimeMs < untouchedSinceMs) await rm(this.#path(hash), { force: true });
    }
  }

  /** A parsed hash holds letters and digits only, so no path leads out of the directory. */
  #path(hash: FileHash): string {
    return join(this.#directory, parseFileHash(hash));
  }
}

function sha256Hasher() {
  const hash = createHash("sha256");
  return {
    update: (bytes: Uint8Array) => void hash.update(bytes),
    digest: () => parseFileHash(hash.digest("hex")),
  };
}

function asFileHash(name: string): FileHash | undefined {
  try {
    return parseFileHash(name);
  } catch {
    return undefined;
  }
}

/** Failures of the disk, apart from those of the sender. */
async function onDisk<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (isDiskFull(error)) {
      throw new CodedError("disk_full", "no space left for this file: free some, or choose another data directory", {
        cause: error,
      });
    }
    throw new CodedError("data_directory", `cannot write a file below the data directory (${code ?? "unknown"})`, {
      cause: error,
    });
  }
}
