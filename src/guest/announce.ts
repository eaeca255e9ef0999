import { createConnection } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

import { READY } from "./protocol.ts";

const PAUSE_MS = 25;
/** Longer than any host waits for it. */
const LIMIT_MS = 25_000;

/**
 * Tells the host that the guest listens. Its socket may come a moment later than the guest, and a bridge may take a
 * connection before there is anybody behind it, so it is tried again. Returns whether it was told.
 */
export async function announceReady(hostSocket: string): Promise<boolean> {
  for (const giveUpAt = performance.now() + LIMIT_MS; performance.now() < giveUpAt; await delay(PAUSE_MS)) {
    if (await tell(hostSocket)) return true;
  }
  return false;
}

/** In one write: the host reads once. */
async function tell(hostSocket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(hostSocket, () => socket.end(READY));
    socket.once("error", () => resolve(false));
    socket.once("close", () => resolve(true));
    socket.resume();
  });
}
