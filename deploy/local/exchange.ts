import type { IncomingMessage, ServerResponse } from "node:http";

import type { HeaderList } from "../../src/guest/forward.ts";
import type { Lease } from "./program-pool.ts";

/** A request for a program that runs. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Path and query for the guest, as the client wrote them. */
  readonly target: string;
  readonly lease: Lease;
}

/** What Node's parser gives, in pairs. */
export function toHeaderList(rawHeaders: readonly string[]): HeaderList {
  return Array.from({ length: rawHeaders.length / 2 }, (_, at) => [
    rawHeaders[2 * at] ?? "",
    rawHeaders[2 * at + 1] ?? "",
  ]);
}

const EXIT_NOTICE_MS = 500;

/**
 * How a program that broke a connection fares. A killed program's sockets close a moment before its end is known, and
 * the client must not hear of it first: its next request would meet a program that is about to vanish.
 */
export async function whatBecameOf({ running }: Lease): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const stillThere = new Promise<string>((resolve) => {
    timer = setTimeout(resolve, EXIT_NOTICE_MS, "closed the connection");
  });
  const how = await Promise.race([running.exited, stillThere]);
  clearTimeout(timer);
  return how;
}
