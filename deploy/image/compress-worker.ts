/** Answers each block with what `compress` makes of it. */
import { parentPort, workerData } from "node:worker_threads";

import { compress, loadCompressor, type Compression } from "./compress.ts";

const { compression } = workerData as { compression: Compression };
const loaded = loadCompressor(compression);

parentPort?.on("message", (block: Uint8Array) => void answer(block));

async function answer(block: Uint8Array): Promise<void> {
  await loaded;
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- threads have no origin
  parentPort?.postMessage(compress(compression, block));
}
