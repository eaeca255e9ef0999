import type { IncomingMessage } from "node:http";
import { promisify } from "node:util";
import { brotliDecompress, gunzip, inflate } from "node:zlib";
import type { Request, RequestHandler } from "express";

import { CodedError } from "../../domain/errors.ts";
import { parseJson } from "../../openai/json.ts";

/** Old examples post JSON as text or as a form; no type at all is fine too. */
const JSON_TYPES = new Set([
  "",
  "application/json",
  "text/plain",
  "application/x-www-form-urlencoded",
  "application/octet-stream",
]);
const UTF8 = new Set(["utf-8", "utf8", "us-ascii"]);
const DECOMPRESS = new Map([
  ["gzip", promisify(gunzip)],
  ["x-gzip", promisify(gunzip)],
  ["deflate", promisify(inflate)],
  ["br", promisify(brotliDecompress)],
]);
/** How long a refused body may go on arriving: a client that still sends often misses an answer given earlier. */
const LINGER_MS = 5_000;

/**
 * Reads the body into `req.body` as JSON, whatever of the usual types it claims to be.
 * Errors: `unsupported_media_type`, `request_too_large`, `invalid_json`, `client_left`.
 */
export function jsonBody(limitBytes: number): RequestHandler {
  return async (req, res, next) => {
    try {
      refuseUnread(req, limitBytes);
    } catch (error) {
      leaveUnread(req);
      throw error;
    }
    if (req.headers.expect?.toLowerCase() === "100-continue") res.writeContinue();
    const bytes = await readBytes(req, limitBytes);
    req.body = parseJson(await decompressed(req, bytes, limitBytes));
    next();
  };
}

/** All that the headers alone can decide. */
function refuseUnread(req: Request, limitBytes: number): void {
  if (Number(req.headers["content-length"] ?? 0) > limitBytes) throw tooLarge(limitBytes);
  if (!hasBody(req)) return;
  const [type = "", ...parameters] = (req.headers["content-type"] ?? "").toLowerCase().split(";");
  if (!JSON_TYPES.has(type.trim())) throw unsupported("Content-Type", type, "application/json");
  const charset = parameters.map((text) => /^\s*charset="?([^"]*)"?\s*$/.exec(text)?.[1]).find((name) => name);
  if (charset !== undefined && !UTF8.has(charset)) throw unsupported("charset", charset, "utf-8");
  const encoding = encodingOf(req);
  if (encoding !== "identity" && !DECOMPRESS.has(encoding)) {
    throw unsupported("Content-Encoding", encoding, "identity, gzip, deflate and br");
  }
}

function hasBody({ headers }: IncomingMessage): boolean {
  return Number(headers["content-length"] ?? 0) > 0 || headers["transfer-encoding"] !== undefined;
}

function encodingOf(req: IncomingMessage): string {
  return (req.headers["content-encoding"] ?? "").trim().toLowerCase() || "identity";
}

async function readBytes(req: Request, limitBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    // Leaving the loop would destroy the socket, and the refusal could not be sent.
    for await (const chunk of req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > limitBytes) break;
      chunks.push(chunk);
    }
  } catch (error) {
    throw new CodedError("client_left", "The client left before its request was complete.", { cause: error });
  }
  if (length > limitBytes) {
    leaveUnread(req);
    throw tooLarge(limitBytes);
  }
  return Buffer.concat(chunks);
}

async function decompressed(req: Request, bytes: Buffer, limitBytes: number): Promise<Buffer> {
  const decompress = DECOMPRESS.get(encodingOf(req));
  if (decompress === undefined || bytes.length === 0) return bytes;
  try {
    return await decompress(bytes, { maxOutputLength: limitBytes });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(limitBytes);
    throw new CodedError("invalid_json", `The body is not valid ${encodingOf(req)} data.`, { cause: error });
  }
}

/** Discards what still arrives, for a while. */
function leaveUnread(req: IncomingMessage): void {
  req.resume();
  const timer = setTimeout(() => {
    if (!req.complete) req.socket.destroy();
  }, LINGER_MS).unref();
  req.once("close", () => clearTimeout(timer));
}

function tooLarge(limitBytes: number): CodedError {
  return new CodedError("request_too_large", `The body is too large: at most ${limitBytes} bytes are allowed.`);
}

function unsupported(header: string, given: string, allowed: string): CodedError {
  const message = `Unsupported ${header} '${given.slice(0, 100)}': expected ${allowed}.`;
  return new CodedError("unsupported_media_type", message);
}
