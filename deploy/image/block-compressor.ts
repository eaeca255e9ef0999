import { once } from "node:events";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";

import { compress, type Compression } from "./compress.ts";

/** Each keeps some tens of megabytes. */
const THREADS_MAX = 8;
/** Below this, starting threads takes longer than they save. */
const THREAD_WORTH_BYTES = 8 * 1024 * 1024;

/** Compresses the blocks of one chunk side by side. What comes out does not depend on the number of threads. */
export class BlockCompressor {
  readonly #compression: Compression;
  readonly #workers: readonly Worker[];

  /** The compressor must be loaded; `dataBytes` is about what there is to do. End it with `dispose`. */
  constructor(compression: Compression, dataBytes: number) {
    this.#compression = compression;
    const isWorth = compression !== "none" && dataBytes >= THREAD_WORTH_BYTES;
    const threads = isWorth ? Math.min(availableParallelism(), THREADS_MAX) : 0;
    this.#workers = Array.from({ length: threads }, () => startWorker(compression));
  }

  /** For each block what `compress` gives. Blocks in shared memory are not copied. */
  async compressAll(blocks: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    if (this.#workers.length === 0 || blocks.length < 2) {
      return blocks.map((block) => compress(this.#compression, block));
    }
    const results: (Uint8Array | undefined)[] = [];
    let next = 0;
    const work = async (worker: Worker): Promise<void> => {
      for (let at = next++; at < blocks.length; at = next++) {
        const answer = once(worker, "message");
        // oxlint-disable-next-line unicorn/require-post-message-target-origin -- threads have no origin
        worker.postMessage(blocks[at]);
        [results[at]] = (await answer) as [Uint8Array | undefined];
      }
    };
    await Promise.all(this.#workers.map(work));
    return results;
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}

function startWorker(compression: Compression): Worker {
  const worker = new Worker(new URL("./compress-worker.js", import.meta.url), { workerData: { compression } });
  // Whoever waits for its answer is told; one that nobody waits for must not end the process.
  worker.on("error", () => undefined);
  return worker;
}
