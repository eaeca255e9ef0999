import { createHash, type Hash } from "node:crypto";
import { once } from "node:events";
import { Worker } from "node:worker_threads";

import { parseSha256, type FileHash, type Sha256 } from "../../src/domain/hash.ts";
import { CidHasher } from "./cid.ts";

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
