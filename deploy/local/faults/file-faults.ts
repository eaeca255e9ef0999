/** Faults in uploads and downloads. */
import type { RequestHandler, Request, Response } from "express";

import type { ContentStore } from "../content-store.ts";
import { HttpRefusal } from "../http-refusal.ts";
import { alterAnswer } from "./alter-answer.ts";
import type { Faults } from "./faults.ts";

const MIB = 1_048_576;
const UPLOADS = /^\/(?:storage\/add_file|ipfs\/add_file|ipfs\/add_car)$/;
const DOWNLOADS = /^\/storage\/raw\//;

/** Below /api/v0, before the routes. */
export function fileFaults(faults: Faults): RequestHandler {
  return (req, res, next) => {
    if (req.method === "POST" && UPLOADS.test(req.path)) upload(faults, req, res, next);
    else if (DOWNLOADS.test(req.path)) download(faults, req, res, next);
    else if (req.path === "/storage/limits.json") limits(faults, res, next);
    else next();
  };
}

/** Uploads that come while the fault acts leave no bytes behind. */
export function loseUploads(files: ContentStore, faults: Faults): void {
  const receive = files.receive.bind(files);
  files.receive = async (...args) => {
    const file = await receive(...args);
    return faults.take("upload-lost") ? { ...file, commit: () => file.discard() } : file;
  };
}

function upload(faults: Faults, req: Request, res: Response, next: () => void): void {
  const status = faults.take("upload-status");
  if (status !== undefined) {
    // Read to the end, so that the sender comes to see the answer.
    req.resume().once("end", () => res.status(status).send(""));
    return;
  }
  if (faults.take("upload-cut")) {
    req.once("data", () => req.destroy());
    return;
  }
  if (faults.take("upload-silent")) {
    req.resume();
    return;
  }
  if (faults.take("upload-renamed")) {
    alterAnswer(res, (body) => {
      const { hash } = body as { readonly hash: string };
      return { ...(body as object), hash: otherHash(hash) };
    });
  }
  next();
}

/** Of the same form: a node that is not right in the head, not one that speaks another language. */
function otherHash(hash: string): string {
  return hash.startsWith("Qm") ? "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH" : "cafe".repeat(16);
}

/** Errors: `HttpRefusal`. */
function download(faults: Faults, req: Request, res: Response, next: () => void): void {
  const status = faults.take("download-status");
  if (status !== undefined) throw new HttpRefusal(status, "");
  // Who asks with HEAD gets no bytes that could be wrong.
  if (req.method === "GET") {
    if (faults.take("download-corrupt")) onFirstChunk(res, (chunk) => flipped(chunk));
    if (faults.take("download-cut"))
      onFirstChunk(
        res,
        cutShort(() => void res.socket?.destroy()),
      );
    if (faults.take("download-stalled"))
      onFirstChunk(
        res,
        cutShort(() => undefined),
      );
  }
  next();
}

interface LastChunk {
  readonly last: Buffer;
  /** Called when it is written. */
  readonly after: () => void;
}

/** Puts what `change` makes of it in the first chunk's place; undefined ends the writing there. */
function onFirstChunk(res: Response, change: (chunk: Buffer) => Buffer | LastChunk): void {
  const write = res.write.bind(res) as (chunk: Buffer, done?: () => void) => boolean;
  let isFirst = true;
  let isOver = false;
  res.write = ((chunk: Buffer, ...rest: unknown[]) => {
    // Never drains, so the source waits.
    if (isOver) return false;
    if (!isFirst) return (write as (...args: unknown[]) => boolean)(chunk, ...rest);
    isFirst = false;
    const changed = change(chunk);
    if (Buffer.isBuffer(changed)) return (write as (...args: unknown[]) => boolean)(changed, ...rest);
    isOver = true;
    write(changed.last, changed.after);
    return false;
  }) as typeof res.write;
}

function flipped(chunk: Buffer): Buffer {
  const copy = Buffer.from(chunk);
  copy[0] = (copy[0] ?? 0) ^ 1;
  return copy;
}

function cutShort(after: () => void) {
  return (chunk: Buffer): LastChunk => ({ last: chunk.subarray(0, Math.ceil(chunk.length / 2)), after });
}

/** Errors: `HttpRefusal`. */
function limits(faults: Faults, res: Response, next: () => void): void {
  if (faults.take("limits-missing")) throw new HttpRefusal(400, "Invalid hash: limits.json");
  const [storage, all] = [faults.take("storage-limit"), faults.take("upload-limit")];
  if (storage !== undefined || all !== undefined) {
    alterAnswer(res, (body) =>
      lowered(body as LimitsAnswer, (storage ?? all ?? 0) * MIB, all === undefined ? Infinity : all * MIB),
    );
  }
  next();
}

interface LimitsAnswer {
  readonly storage: { readonly max_file_size: number };
  readonly ipfs: { readonly max_upload_file_size: number; readonly max_upload_car_size: number };
}

function lowered({ storage, ipfs }: LimitsAnswer, storageBytes: number, ipfsBytes: number): object {
  return {
    storage: { ...storage, max_file_size: storageBytes },
    ipfs: {
      ...ipfs,
      max_upload_file_size: Math.min(ipfs.max_upload_file_size, ipfsBytes),
      max_upload_car_size: Math.min(ipfs.max_upload_car_size, ipfsBytes),
    },
  };
}
