/** The network's mode: one whole request, one whole answer, with everything a CRN does to them. */
import { type IncomingMessage, request as httpRequest, type ServerResponse } from "node:http";
import type { Readable } from "node:stream";
import { createUnzip } from "node:zlib";

import { type ServerAnswer, toForwardedAnswer, toRequestTarget, toServerHeaders } from "../../src/guest/forward.ts";
import { type Exchange, toHeaderList, whatBecameOf } from "./exchange.ts";
import { decodePath, decodeQuery, MAX_REQUEST_BYTES, toClientAnswer } from "./network-rules.ts";
import { bodyTooLarge, bodyUndecodable, invalidAnswer, noAnswer, timedOut } from "./refusals.ts";

// What setTimeout takes; a longer delay would fire at once.
const MAX_DELAY_MS = 2 ** 31 - 1;

/** Goes on without its client. Errors: a `Refusal`. */
export async function exchangeWhole({ request, response, target, lease }: Exchange): Promise<void> {
  const method = request.method ?? "GET";
  const { itemHash } = lease.resolved.files;
  const body = await readBody(request);
  const answer = await askGuest({ request, response, target, lease }, method, body);
  const forwarded = toForwardedAnswer(method, answer);
  sendWhole(response, toClientAnswer(method, forwarded, { itemHash, codeRef: lease.resolved.codeRef }));
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

/** A connection of its own for each request, as over vsock. */
async function askGuest({ request, target, lease }: Exchange, method: string, body: Buffer): Promise<ServerAnswer> {
  const { seconds } = lease.resolved.files.resources;
  const [path, query] = splitOnce(target, "?");
  const headers = toHeaderList(request.rawHeaders).map(([name, value]) => [name.toLowerCase(), value] as const);
  return new Promise((resolve, reject) => {
    const guestRequest = httpRequest({
      agent: false,
      socketPath: lease.running.socketPath,
      method,
      path: toRequestTarget(decodePath(path), decodeQuery(query)),
      headers: toServerHeaders(method, headers, body.length).flat(),
      setHost: false,
    });
    let isLate = false;
    const timer = setTimeout(
      () => {
        isLate = true;
        reject(timedOut(seconds));
        guestRequest.destroy();
      },
      Math.min(seconds * 1000, MAX_DELAY_MS),
    );
    const fail = async (error: NodeJS.ErrnoException): Promise<void> => {
      // The program is well; its connection was closed here.
      if (isLate) return;
      clearTimeout(timer);
      if (error.code?.startsWith("HPE_") === true) return reject(invalidAnswer(error));
      lease.retire();
      reject(noAnswer(await whatBecameOf(lease)));
    };
    guestRequest.once("error", (error) => void fail(error));
    guestRequest.once("response", (guestResponse) => {
      const chunks: Buffer[] = [];
      guestResponse.on("data", (chunk: Buffer) => chunks.push(chunk));
      guestResponse.once("error", (error) => void fail(error));
      guestResponse.once("end", () => {
        clearTimeout(timer);
        const { statusCode: status = 502, rawHeaders } = guestResponse;
        resolve({ status, headers: toHeaderList(rawHeaders), body: Buffer.concat(chunks) });
      });
    });
    guestRequest.end(body);
  });
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
