/**
 * One multipart request that carries a file from disk in constant memory. The SDK would read the file whole, hash it in
 * JavaScript, and send it to IPFS without its message, which nodes take up to 25 MiB only.
 */
import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { request as requestHttp, type IncomingMessage } from "node:http";
import { request as requestHttps } from "node:https";
import { pipeline } from "node:stream/promises";

import type { FileHash } from "../../src/domain/hash.ts";
import { carBytes, writeCar } from "../cid/car.ts";
import { parseBody, withRetries, type JsonAnswer } from "./http.ts";
import type { TransferOptions } from "./network.ts";

export interface UploadRequest {
  readonly url: string;
  readonly path: string;
  /** Of the file, as it was when it was hashed. */
  readonly bytes: number;
  /** As an archive, or as it is. */
  readonly way: "storage" | "ipfs" | "car";
  readonly cid: FileHash;
  /** JSON text that goes before the file. */
  readonly metadata: string;
  /** A node that neither takes nor gives a byte for so long is gone. */
  readonly idleMs: number;
}

/** Any status is an answer. A broken connection starts the file anew. Errors: `network_unreachable`, `interrupted`. */
export async function uploadFile(upload: UploadRequest, options: TransferOptions): Promise<JsonAnswer> {
  return withRetries(upload.url, options.signal, () => sendOnce(upload, options));
}

async function sendOnce(upload: UploadRequest, { signal, onProgress }: TransferOptions): Promise<JsonAnswer> {
  const boundary = `pinference-${randomUUID()}`;
  const head = Buffer.from(
    `--${boundary}\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n${upload.metadata}\r\n` +
      `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n` +
      "Content-Type: application/octet-stream\r\n\r\n",
  );
  const payloadBytes = upload.way === "car" ? carBytes(upload.bytes) : upload.bytes;
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`);
  const request = (upload.url.startsWith("https:") ? requestHttps : requestHttp)(upload.url, {
    method: "POST",
    headers: {
      accept: "application/json",
      "content-type": `multipart/form-data; boundary=${boundary}`,
      "content-length": head.length + payloadBytes + tail.length,
    },
    ...(signal && { signal }),
  });
  request.setTimeout(upload.idleMs, () => request.destroy(new Error("it took too long")));
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    request.once("response", resolve);
    request.once("error", reject);
  });

  const report = (doneBytes: number) => onProgress?.(doneBytes, upload.bytes);
  async function* body() {
    yield head;
    yield* upload.way === "car" ? writeCar(upload.path, upload.bytes, upload.cid, report) : plain(upload, report);
    yield tail;
  }

  const sent = pipeline(body(), request);
  // A node may refuse before it has read everything: its answer tells more than the broken connection.
  const refused = answered.then((response) => response.statusCode !== 200);
  await Promise.race([sent, refused]).catch(() => undefined);
  sent.catch(() => undefined);
  const response = await answered;
  const answer = { status: response.statusCode ?? 0, body: parseBody(await readText(response)) };
  request.destroy();
  return answer;
}

async function* plain({ path, bytes }: UploadRequest, onProgress: (doneBytes: number) => void) {
  let doneBytes = 0;
  // The range keeps a file that grows meanwhile from breaking the length that was announced.
  const file = bytes === 0 ? [] : createReadStream(path, { end: bytes - 1 });
  for await (const chunk of file as AsyncIterable<Buffer>) {
    yield chunk;
    doneBytes += chunk.length;
    onProgress(doneBytes);
  }
}

async function readText(response: IncomingMessage): Promise<string> {
  response.setEncoding("utf8");
  let text = "";
  for await (const chunk of response as AsyncIterable<string>) text += chunk;
  return text;
}
