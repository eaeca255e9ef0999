import { createHash, type Hash } from "node:crypto";
import { once } from "node:events";
import { open } from "node:fs/promises";
import { Worker } from "node:worker_threads";

import { CodedError } from "../../src/domain/errors.ts";
import { parseSha256, type FileHash, type Sha256 } from "../../src/domain/hash.ts";
import { CidHasher } from "../cid/cid.ts";

export interface ImageHashes {
  readonly sha256: Sha256;
  readonly cid: FileHash;
}

/** Both names of an image at once. `update` resolves when the bytes are no longer needed. */
export interface ImageHasher {
  update(bytes: Uint8Array): Promise<void>;
  digest(): Promise<ImageHashes>;
  /** Ends the helper thread. Harmless when there is none. */
  dispose(): Promise<void>;
}

/** Below this, starting a thread takes longer than it saves. */
const THREAD_WORTH_BYTES = 64 * 1024 * 1024;

/** A multiple of every block size. */
const CHUNK_BYTES = 4 * 1024 * 1024;

/** The names of an image that exists already. Errors: `interrupted`, and those of the operating system. */
export async function hashImage(
  path: string,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<ImageHashes & { readonly bytes: number }> {
  const file = await open(path, "r");
  const { size: expectedBytes } = await file.stat();
  const hasher = createImageHasher(expectedBytes);
  try {
    const buffer = sharedBuffer();
    let bytes = 0;
    for (;;) {
      throwIfAborted(signal);
      const { bytesRead } = await file.read(buffer, 0, buffer.byteLength, bytes);
      if (bytesRead === 0) return { bytes, ...(await hasher.digest()) };
      await hasher.update(buffer.subarray(0, bytesRead));
      bytes += bytesRead;
    }
  } finally {
    await hasher.dispose();
    await file.close();
  }
}

/** Room for one chunk in shared memory, which reaches the hashing thread without a copy. */
export function sharedBuffer(): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(CHUNK_BYTES));
}

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted)
    throw new CodedError("interrupted", "stopped before the image was done", { cause: signal.reason });
}

export function createImageHasher(expectedBytes: number): ImageHasher {
  return expectedBytes < THREAD_WORTH_BYTES ? new PlainHasher() : new ThreadedHasher();
}

class PlainHasher implements ImageHasher {
  readonly #sha256: Hash = createHash("sha256");
  readonly #cid = new CidHasher();

  update(bytes: Uint8Array): Promise<void> {
    this.#sha256.update(bytes);
    this.#cid.update(bytes);
    return Promise.resolve();
  }

  digest(): Promise<ImageHashes> {
    return Promise.resolve({ sha256: parseSha256(this.#sha256.digest("hex")), cid: this.#cid.digest() });
  }

  dispose(): Promise<void> {
    return Promise.resolve();
  }
}

/** The sha256 runs in a thread of its own; bytes in shared memory reach it without a copy. */
class ThreadedHasher implements ImageHasher {
  readonly #worker = new Worker(new URL("./sha256-worker.js", import.meta.url));
  readonly #cid = new CidHasher();

  async update(bytes: Uint8Array): Promise<void> {
    const hashed = this.#ask(bytes);
    this.#cid.update(bytes);
    await hashed;
  }

  async digest(): Promise<ImageHashes> {
    return { sha256: parseSha256(String(await this.#ask(null))), cid: this.#cid.digest() };
  }

  async dispose(): Promise<void> {
    await this.#worker.terminate();
  }

  async #ask(message: Uint8Array | null): Promise<unknown> {
    const answer = once(this.#worker, "message");
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- threads have no origin
    this.#worker.postMessage(message);
    const [value] = (await answer) as [unknown];
    return value;
  }
}
