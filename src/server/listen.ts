import { once } from "node:events";
import { rm, stat } from "node:fs/promises";
import { createServer, type RequestListener, type Server } from "node:http";
import { connect } from "node:net";

import { CodedError } from "../domain/errors.ts";
import { answerUnparsed } from "./unparsed.ts";

export type Address = { readonly socket: string } | { readonly host: string; readonly port: number };

/** Longer than the idle time of usual proxies, so that they and not this server close a connection. */
const KEEP_ALIVE_MS = 75_000;

/** `corsOrigin` is for answers that the app has no part in. Errors: `port_in_use`. */
export async function listen(app: RequestListener, address: Address, corsOrigin = "*"): Promise<Server> {
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, app);
  // Without this, Node.js would ask for bodies that middleware/body.ts refuses.
  server.on("checkContinue", app);
  // Other expectations are nobody's: they may be ignored (RFC 9110, 10.1.1).
  server.on("checkExpectation", app);
  answerUnparsed(server, corsOrigin);
  if ("socket" in address) {
    await removeStaleSocket(address.socket);
    server.listen(address.socket);
  } else server.listen(address.port, address.host);
  try {
    await once(server, "listening");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    const place = "socket" in address ? address.socket : `${address.host}:${address.port}`;
    throw new CodedError("port_in_use", `something else listens on ${place} already`, { cause: error });
  }
  return server;
}

/** A server that was killed leaves its socket's file behind. */
async function removeStaleSocket(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined || !found.isSocket()) return;
  const probe = connect(path);
  try {
    await once(probe, "connect");
  } catch {
    await rm(path, { force: true });
  } finally {
    probe.destroy();
  }
}

/** Ends all connections; answers that are complete leave first. */
export async function closeServer(server: Server, graceMs: number): Promise<void> {
  const closed = once(server, "close");
  server.close();
  const timer = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearTimeout(timer);
}
