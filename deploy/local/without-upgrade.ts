import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

/**
 * Puts a request that asked for an upgrade back into its connection as an ordinary one, which is what a server that
 * does not know the protocol shall take it for (RFC 9110, 7.8). Some clients ask for h2c with every first request.
 * The caller hands the connection to the server again.
 */
export function withoutUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Duplex {
  const { method, url, httpVersion, rawHeaders } = request;
  const lines = [`${method} ${url} HTTP/${httpVersion}`];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? "";
    if (!["upgrade", "connection", "http2-settings"].includes(name.toLowerCase())) {
      lines.push(`${name}: ${rawHeaders[at + 1]}`);
    }
  }
  // Node reads headers as latin1, so this gives back the very bytes.
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1"), head]));
  return socket;
}
