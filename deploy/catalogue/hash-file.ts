import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { basename } from "node:path";

import { CodedError } from "../../src/domain/errors.ts";
import { parseSha256, type Sha256 } from "../../src/domain/hash.ts";
import { printable } from "../../src/gguf/header-cursor.ts";
import { readSha256Cache, writeSha256Cache, type FileIdentity } from "./sha256-cache.ts";
import { createRateMeter, type TransferProgress } from "./transfer-rate.ts";

const READ_BYTES = 1024 * 1024;

export interface HashOptions {
  /** Where sha256-cache.json is kept; undefined hashes anew each time. */
  readonly cacheDirectory?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: TransferProgress) => void) | undefined;
}

/**
 * The sha256 of a whole file, remembered for as long as its size, time and inode stay the same.
 * Errors: `interrupted`; `model_file_missing`; `model_file_invalid` when the file changes meanwhile.
 */
export async function sha256OfFile(path: string, options: HashOptions = {}): Promise<Sha256> {
  const { cacheDirectory, signal, onProgress } = options;
  const before = await identityOf(path);
  const known = cacheDirectory === undefined ? undefined : await readSha256Cache(cacheDirectory, path, before);
  if (known !== undefined) return known;

  const hash = createHash("sha256");
  const progressAt = createRateMeter(before.bytes);
  try {
    await updateFromFile(hash, path, signal, (doneBytes) => onProgress?.(progressAt(doneBytes)));
  } catch (error) {
    if (signal?.aborted === true) {
      throw new CodedError("interrupted", `hashing ${printable(basename(path))} was interrupted.`, { cause: error });
    }
    throw unreadable(path, error);
  }
  const after = await identityOf(path);
  if (after.key !== before.key) {
    throw new CodedError("model_file_invalid", `${printable(basename(path))} changed while it was read. Try again.`);
  }
  const sha256 = parseSha256(hash.digest("hex"));
  if (cacheDirectory !== undefined) await writeSha256Cache(cacheDirectory, path, before, sha256);
  return sha256;
}

/** Remembers a hash that was computed while the file was written. */
export async function rememberSha256(path: string, cacheDirectory: string, sha256: Sha256): Promise<void> {
  await writeSha256Cache(cacheDirectory, path, await identityOf(path), sha256);
}

/** Feeds a file into a hash. Aborting rejects with the signal's reason. */
export async function updateFromFile(
  hash: Hash,
  path: string,
  signal: AbortSignal | undefined,
  onBytes: (doneBytes: number) => void,
): Promise<void> {
  let doneBytes = 0;
  const options = { highWaterMark: READ_BYTES, ...(signal === undefined ? {} : { signal }) };
  for await (const chunk of createReadStream(path, options) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    doneBytes += chunk.length;
    onBytes(doneBytes);
  }
}

async function identityOf(path: string): Promise<FileIdentity> {
  try {
    const { size, mtimeNs, ino } = await stat(path, { bigint: true });
    return { key: `${size}/${mtimeNs}/${ino}`, bytes: Number(size) };
  } catch (error) {
    throw unreadable(path, error);
  }
}

function unreadable(path: string, error: unknown): CodedError {
  const { code } = error as NodeJS.ErrnoException;
  const sentence =
    code === "ENOENT"
      ? `there is no model file at ${printable(path, 1000)}.`
      : `${printable(path, 1000)} cannot be read: ${code ?? String(error)}.`;
  return new CodedError("model_file_missing", sentence, { cause: error });
}
