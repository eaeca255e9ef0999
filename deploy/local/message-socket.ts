/** WebSocket /api/ws0/messages: some old messages, then each new one as it is processed, one JSON text a frame. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

import { WebSocketServer, type WebSocket } from "ws";

import { matchesQuery, queryMessages } from "./message-query.ts";
import type { MessageStore } from "./message-store.ts";
import { toListedMessage } from "./message-view.ts";
import type { Processor } from "./processor.ts";

const PATH = "/api/ws0/messages";
const HEARTBEAT_MS = 30_000;
const HISTORY_MESSAGES = 10;
const MOST_HISTORY_MESSAGES = 199;

export interface MessageSocket {
  /** To be called on a server's `upgrade`. False when the path is not this one; the socket is untouched then. */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean;
  close(): void;
}

export function createMessageSocket(messages: MessageStore, processor: Processor): MessageSocket {
  const server = new WebSocketServer({ noServer: true, maxPayload: 65_536 });
  return {
    handleUpgrade(request, socket, head) {
      const url = new URL(request.url ?? "/", "http://localhost");
      if (url.pathname !== PATH) return false;
      server.handleUpgrade(request, socket, head, (client) => {
        serve(client, Object.fromEntries(url.searchParams), messages, processor);
      });
      return true;
    },
    close() {
      for (const client of server.clients) client.terminate();
      server.close();
    },
  };
}

function serve(
  client: WebSocket,
  query: Readonly<Record<string, string>>,
  messages: MessageStore,
  processor: Processor,
): void {
  const asked = Number(query["history"] ?? HISTORY_MESSAGES);
  const history = Number.isInteger(asked) ? Math.max(0, Math.min(asked, MOST_HISTORY_MESSAGES)) : HISTORY_MESSAGES;
  const send = (record: Parameters<typeof toListedMessage>[0]) => client.send(JSON.stringify(toListedMessage(record)));
  if (history > 0) {
    const old = queryMessages(messages.all(), { ...query, pagination: String(history), page: "1", sortOrder: "-1" });
    for (const record of old.records.toReversed()) send(record);
  }
  const stop = processor.onProcessed((record) => {
    if (matchesQuery(record, query)) send(record);
  });
  const heartbeat = setInterval(() => client.ping(), HEARTBEAT_MS);
  heartbeat.unref();
  client.on("close", () => {
    clearInterval(heartbeat);
    stop();
  });
  client.on("error", () => client.terminate());
}
