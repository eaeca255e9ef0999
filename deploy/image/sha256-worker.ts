/** Hashes the bytes it is sent and answers each message: `true` for bytes, the hexadecimal digest for `null`. */
import { createHash } from "node:crypto";
import { parentPort } from "node:worker_threads";

const hash = createHash("sha256");

parentPort?.on("message", (bytes: Uint8Array | null) => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- threads have no origin
  parentPort?.postMessage(bytes === null ? hash.digest("hex") : (hash.update(bytes), true));
});
