/** The default mode: bytes pass as they come, in both directions. */
import { type IncomingMessage, request as httpRequest } from "node:http";

import { HOP_BY_HOP, withoutHeaders } from "../../src/guest/forward.ts";
import type { RunningProgram } from "./backends/backend.ts";
import { type Exchange, toHeaderList, whatBecameOf } from "./exchange.ts";
import { identityHeaders } from "./network-rules.ts";
import { invalidAnswer, noAnswer, sendRefusal, toErrorObject } from "./refusals.ts";

// `expect` has been answered by this node.
const DROPPED_FROM_REQUEST: ReadonlySet<string> = new Set([...HOP_BY_HOP, "expect"]);
const DROPPED_FROM_ANSWER: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  "server",
  "aleph-program-itemhash",
  "aleph-program-code-ref",
]);

/** An exchange with a program that can be reached without the guest protocol, which has no streams. */
export interface StreamedExchange extends Exchange {
  readonly http: NonNullable<RunningProgram["http"]>;
}

/** Resolves when the client's response has ended or its connection is gone; the guest's request is over by then. */
export async function passThrough(exchange: StreamedExchange): Promise<void> {
  const { request, response } = exchange;
  if (response.destroyed) return;
  const sent = send(exchange, true);
  await new Promise<void>((resolve) => response.once("close", resolve));
  sent.abandon();
  request.unpipe();
  request.resume();
}

interface Sent {
  /** Ends the guest's request if it is not over. */
  abandon(): void;
}

function send(exchange: StreamedExchange, mayRetry: boolean): Sent {
  const { request, response, target, http } = exchange;
  const { agent, socketPath } = http;
  const hasBody = request.headers["content-length"] !== undefined || isChunked(request);
  let retry: Sent | undefined;
  const guestRequest = httpRequest({
    agent,
    socketPath,
    method: request.method,
    path: target,
    headers: requestHeaders(request, hasBody),
    setHost: false,
  });

  guestRequest.once("response", (guestResponse) => sendAnswer(exchange, guestResponse));
  guestRequest.once("error", (error: NodeJS.ErrnoException) => {
    if (response.destroyed || response.headersSent) return;
    // A kept connection may close in the very moment it is used again. A body is gone by then, so it cannot be resent.
    if (mayRetry && !hasBody && guestRequest.reusedSocket && error.code === "ECONNRESET") {
      retry = send(exchange, false);
      return;
    }
    void refuse(error, exchange);
  });
  if (hasBody) request.pipe(guestRequest);
  else guestRequest.end();

  return {
    abandon: () => {
      retry?.abandon();
      if (!response.writableFinished || !guestRequest.writableFinished) guestRequest.destroy();
    },
  };
}

function sendAnswer(exchange: Exchange, guestResponse: IncomingMessage): void {
  const { request, response, lease } = exchange;
  const identity = { itemHash: lease.resolved.files.itemHash, codeRef: lease.resolved.codeRef };
  const headers = withoutHeaders(toHeaderList(guestResponse.rawHeaders), DROPPED_FROM_ANSWER);
  const reason = guestResponse.statusMessage ?? "";
  response.writeHead(guestResponse.statusCode ?? 502, reason, [...headers, ...identityHeaders(identity)].flat());
  // A stream's first token may be seconds away; its head must not wait for it.
  if (guestResponse.headers["content-length"] === undefined && request.method !== "HEAD") response.flushHeaders();
  guestResponse.once("error", () => void endCutAnswer(exchange, guestResponse));
  guestResponse.pipe(response);
}

/** The program was lost in the middle of its answer. */
async function endCutAnswer(exchange: Exchange, guestResponse: IncomingMessage): Promise<void> {
  const { response, lease } = exchange;
  if (response.destroyed) return;
  const refusal = noAnswer(await whatBecameOf(lease));
  const { "content-type": type = "", "content-length": length } = guestResponse.headers;
  // Only an event stream can carry an error in its body. Anything else must look cut, or it would pass for whole.
  if (!type.startsWith("text/event-stream") || length !== undefined) response.destroy();
  else response.end(`\n\ndata: ${JSON.stringify(toErrorObject(refusal))}\n\n`);
}

async function refuse(error: NodeJS.ErrnoException, { response, lease }: Exchange): Promise<void> {
  const isNotHttp = error.code?.startsWith("HPE_") === true;
  sendRefusal(response, isNotHttp ? invalidAnswer(error) : noAnswer(await whatBecameOf(lease)), false);
}

function requestHeaders(request: IncomingMessage, hasBody: boolean): string[] {
  const headers = withoutHeaders(toHeaderList(request.rawHeaders), DROPPED_FROM_REQUEST).flat();
  if (isChunked(request)) headers.push("Transfer-Encoding", "chunked");
  // Without it Node would announce a chunked body for most methods.
  else if (!hasBody && !["GET", "HEAD", "OPTIONS", "DELETE"].includes(request.method ?? "")) {
    headers.push("Content-Length", "0");
  }
  return headers;
}

function isChunked(request: IncomingMessage): boolean {
  return request.headers["transfer-encoding"] !== undefined;
}
