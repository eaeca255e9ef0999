import type { Server } from "node:http";
import type { Socket } from "node:net";

import { newId } from "./exchange.ts";

const ANSWERS: Readonly<Record<string, { status: string; code: string | null; message: string }>> = {
  HPE_HEADER_OVERFLOW: {
    status: "431 Request Header Fields Too Large",
    code: "request_too_large",
    message: "The request's path and headers are too long.",
  },
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: "408 Request Timeout",
    code: null,
    message: "The request did not arrive in time.",
  },
};
const MALFORMED = { status: "400 Bad Request", code: null, message: "This is not a valid HTTP/1.1 request." };

/** Answers what Node.js cannot parse, and so never reaches the app, in the shape of all other errors. */
export function answerUnparsed(server: Server, corsOrigin: string): void {
  const answering = new WeakSet<Socket>();
  server.prependListener("request", (req, res) => {
    answering.add(req.socket);
    res.once("close", () => answering.delete(req.socket));
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => {
    // In the middle of another answer it would become a part of that.
    if (!socket.writable || answering.has(socket)) {
      socket.destroy();
      return;
    }
    const { status, code, message } = ANSWERS[error.code ?? ""] ?? MALFORMED;
    const body = JSON.stringify({ error: { message, type: "invalid_request_error", param: null, code } });
    socket.end(
      `HTTP/1.1 ${status}\r\nX-Request-Id: ${newId("req_")}\r\nAccess-Control-Allow-Origin: ${corsOrigin}\r\n` +
        `Content-Type: application/json; charset=utf-8\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
      () => socket.destroy(),
    );
  });
}
