/** A download in progress: FILE.part holds the bytes, FILE.part.json says whose they are. */
import { createHash, type Hash } from "node:crypto";
import { open, readFile, rename, rm, stat, type FileHandle } from "node:fs/promises";
import * as z from "zod";

import { parseSha256, type Sha256 } from "../../src/domain/hash.ts";
import { updateFromFile } from "./hash-file.ts";
import { writeFileAtomically } from "../files/write-file-atomically.ts";

const description = z.strictObject({
  url: z.string(),
  bytes: z.number(),
  etag: z.string().optional(),
  sha256: z.string().optional(),
});
export type PartDescription = z.infer<typeof description>;

/** Bytes go to the file and into the hash together. */
export class PartFile {
  readonly #path: string;
  readonly #handle: FileHandle;
  #hash: Hash;
  #doneBytes: number;

  private constructor(path: string, handle: FileHandle, hash: Hash, doneBytes: number) {
    this.#path = path;
    this.#handle = handle;
    this.#hash = hash;
    this.#doneBytes = doneBytes;
  }

  /** Goes on with what an earlier run left, if it was of the same content; else begins anew. */
  static async open(path: string, wanted: PartDescription, signal: AbortSignal): Promise<PartFile> {
    const partPath = `${path}.part`;
    if (!(await isOfSameContent(path, wanted))) {
      // In this order, a kill in between leaves bytes without a description, which are thrown away the next time.
      await rm(partPath, { force: true });
      await writeFileAtomically(`${partPath}.json`, `${JSON.stringify(wanted, undefined, 2)}\n`);
    }
    const handle = await open(partPath, "a");
    try {
      const { size } = await handle.stat();
      const hash = createHash("sha256");
      if (size > 0 && size <= wanted.bytes) {
        await updateFromFile(hash, partPath, signal, () => {});
        return new PartFile(path, handle, hash, size);
      }
      await handle.truncate(0);
      return new PartFile(path, handle, hash, 0);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  get doneBytes(): number {
    return this.#doneBytes;
  }

  async append(chunk: Uint8Array): Promise<void> {
    await this.#handle.appendFile(chunk);
    this.#hash.update(chunk);
    this.#doneBytes += chunk.length;
  }

  async beginAnew(): Promise<void> {
    await this.#handle.truncate(0);
    this.#hash = createHash("sha256");
    this.#doneBytes = 0;
  }

  sha256(): Sha256 {
    return parseSha256(this.#hash.copy().digest("hex"));
  }

  /** Keeps the part for a later run. */
  async close(): Promise<void> {
    await this.#handle.close();
  }

  /** Gives the whole file its name, once its bytes are on the disk. */
  async complete(): Promise<void> {
    await this.#handle.sync();
    await this.#handle.close();
    await rename(`${this.#path}.part`, this.#path);
    await rm(`${this.#path}.part.json`, { force: true });
  }

  async discard(): Promise<void> {
    await this.#handle.close();
    await rm(`${this.#path}.part`, { force: true });
    await rm(`${this.#path}.part.json`, { force: true });
  }
}

/** Bytes that a later run can go on with. */
export async function partBytes(path: string, wanted: PartDescription): Promise<number> {
  if (!(await isOfSameContent(path, wanted))) return 0;
  const size = (await stat(`${path}.part`).catch(() => undefined))?.size ?? 0;
  return size <= wanted.bytes ? size : 0;
}

async function isOfSameContent(path: string, wanted: PartDescription): Promise<boolean> {
  try {
    const found = description.parse(JSON.parse(await readFile(`${path}.part.json`, "utf8")));
    // Without any tag, nothing says that the bytes are still the same.
    if (wanted.etag === undefined && wanted.sha256 === undefined) return false;
    return (
      found.url === wanted.url &&
      found.bytes === wanted.bytes &&
      found.etag === wanted.etag &&
      found.sha256 === wanted.sha256
    );
  } catch {
    return false;
  }
}
