/** The network's mode: one whole request, one whole answer, with everything a CRN does to them. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Readable } from "node:stream";
import { createUnzip } from "node:zlib";

import type { ServerAnswer } from "../../src/guest/forward.ts";
import {
  encodeRunRequest,
  type GuestAnswer,
  parseAnswer,
  ProtocolError,
  type RunRequest,
  WrongAnswer,
} from "../../src/guest/protocol.ts";
import { type Exchange, toHeaderList, whatBecameOf } from "./exchange.ts";
import { exchangeWithGuest } from "./guest-connection.ts";
import { decodePath, decodeQuery, MAX_REQUEST_BYTES, toClientAnswer } from "./network-rules.ts";
import {
  bodyTooLarge,
  bodyUndecodable,
  guestFailed,
  invalidAnswer,
  noAnswer,
  timedOut,
  wrongAnswer,
} from "./refusals.ts";

// What setTimeout takes; a longer delay would fire at once.
const MAX_DELAY_MS = 2 ** 31 - 1;

/** Goes on without its client. Errors: a `Refusal`. */
export async function exchangeWhole(exchange: Exchange): Promise<void> {
  const { request, response, target, lease } = exchange;
  const method = request.method ?? "GET";
  const body = await readBody(request);
  const [path, query] = splitOnce(target, "?");
  const answer = await askGuest(exchange, {
    method,
    path: decodePath(path),
    queryString: decodeQuery(query),
    headers: toHeaderList(request.rawHeaders).map(([name, value]) => [name.toLowerCase(), value]),
    body,
  });
  const identity = { itemHash: lease.resolved.files.itemHash, codeRef: lease.resolved.codeRef };
  sendWhole(response, toClientAnswer(method, answer, identity));
}

/** De-chunked and decompressed. Errors: a `Refusal`; an ordinary error when the client leaves before its end. */
async function readBody(request: IncomingMessage): Promise<Buffer> {
  const encoding = request.headers["content-encoding"]?.toLowerCase() ?? "";
  const { "content-length": length = "0", "transfer-encoding": transferEncoding } = request.headers;
  const hasBody = length !== "0" || transferEncoding !== undefined;
  const decoder = hasBody && ["gzip", "deflate"].includes(encoding) ? createUnzip() : undefined;
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const source: Readable = decoder === undefined ? request : request.pipe(decoder);
    const fail = (error: Error): void => {
      request.unpipe();
      source.removeAllListeners("data");
      decoder?.destroy();
      // What is left of the request is read and dropped, so that the client can read the answer.
      request.resume();
      reject(error);
    };
    source.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > MAX_REQUEST_BYTES) fail(bodyTooLarge());
      else chunks.push(chunk);
    });
    source.once("end", () => resolve(Buffer.concat(chunks)));
    decoder?.once("error", () => fail(bodyUndecodable(encoding)));
    request.once("error", fail);
  });
}

/** Over the guest protocol. Errors: a `Refusal`. */
async function askGuest({ lease }: Exchange, request: RunRequest): Promise<ServerAnswer> {
  const { seconds } = lease.resolved.files.resources;
  const limitMs = Math.min(seconds * 1000, MAX_DELAY_MS);
  const outcome = await exchangeWithGuest(lease.running.connect, encodeRunRequest(request), limitMs);
  // The program is well; its connection was closed here.
  if (outcome.kind === "late") throw timedOut(seconds);
  if (outcome.kind === "empty") {
    lease.retire();
    throw noAnswer(await whatBecameOf(lease));
  }
  const answer = readAnswer(outcome.bytes);
  if ("traceback" in answer) throw guestFailed(answer.traceback);
  return answer;
}

function readAnswer(bytes: Uint8Array): GuestAnswer {
  try {
    return parseAnswer(bytes);
  } catch (error) {
    if (error instanceof WrongAnswer) throw wrongAnswer(error);
    throw error instanceof ProtocolError ? invalidAnswer(error) : error;
  }
}

function sendWhole(response: ServerResponse, { status, headers, body }: ServerAnswer): void {
  // The client may have left, or been cut off by the gateway's time limit.
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, headers.flat());
  response.end(body);
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}
