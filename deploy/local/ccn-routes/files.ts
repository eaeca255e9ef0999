/** Uploads and downloads. Source: pyaleph 0.10, web/controllers/storage.py and ipfs.py. */
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";

import express, { Router, type Request, type Response } from "express";
import * as z from "zod";

import { parseFileHash, parseItemHash, storageEngineOf, type FileHash } from "../../../src/domain/hash.ts";
import type { Content } from "../../messages/contents.ts";
import type { Envelope } from "../../messages/envelope.ts";
import type { ReceivedFile } from "../content-store.ts";
import { HttpRefusal, refusal } from "../http-refusal.ts";
import type { MessageRecord, ProcessedRecord } from "../message-store.ts";
import { readItem } from "../processor.ts";
import { receiveCar } from "../receive-car.ts";
import { Rejection } from "../rejection.ts";
import { receiveUpload } from "../upload.ts";
import { isSignedBySender } from "../../messages/verify-signature.ts";
import { INVALID_FORMAT, publishedStatus, requireFormat } from "./messages.ts";
import type { NodeParts } from "./node-parts.ts";

const JSON_BYTES = 25 * 1_048_576;
const metadataRequest = z.object({ message: z.unknown(), sync: z.boolean() });

type StorageEngine = "storage" | "ipfs";
type UploadWay = StorageEngine | "car";

/** Below /api/v0. */
export function fileRoutes(parts: NodeParts): Router {
  const { files, limits, messages } = parts;
  const router = Router();

  for (const engine of ["storage", "ipfs"] as const) {
    router.post(`/${engine}/add_file`, async (req, res) => addFile(parts, engine, req, res));
    router.post(
      `/${engine}/add_json`,
      express.json({ limit: JSON_BYTES, type: () => true, strict: false }),
      async (req, res) => {
        const bytes = Buffer.from(JSON.stringify(sortKeys(req.body)));
        const file = await files.receive(toStream(bytes), engine, JSON_BYTES);
        await file.commit();
        parts.processor.retryPending();
        res.json({ status: "success", hash: file.hash });
      },
    );
  }

  router.post("/ipfs/add_car", async (req, res) => addFile(parts, "car", req, res));

  router.get("/storage/limits.json", (_req, res) => {
    res.json({
      storage: {
        max_file_size: limits.storageBytes,
        max_unauthenticated_upload_file_size: limits.unauthenticatedBytes,
      },
      ipfs: {
        max_upload_file_size: limits.ipfsBytes,
        max_upload_car_size: limits.carBytes,
        max_unauthenticated_upload_file_size: limits.unauthenticatedBytes,
      },
    });
  });

  // Express answers HEAD with the GET route.
  router.get("/storage/raw/:hash", async (req, res) => sendFile(parts, req.params.hash, req, res));

  router.get("/storage/metadata/:hash", async (req, res) => {
    const hash = parseFileHash(req.params.hash);
    const size = await requireBytes(parts, hash);
    res.json({ file_hash: hash, type: "file", size, download_url: downloadUrl(req, hash) });
  });

  router.get("/storage/count/:hash", (req, res) => {
    const hash = parseFileHash(req.params.hash);
    res.json(messages.allProcessed("STORE").filter((record) => record.item.content["item_hash"] === hash).length);
  });

  router.get("/storage/by-message-hash/:hash", async (req, res) => {
    const record = messages.processed(parseItemHash(req.params.hash));
    if (record?.envelope.type !== "STORE") throw refusal(404, "no STORE message with this hash on this node");
    res.json(await storedFile(parts, req, record, record.envelope.item_hash));
  });

  router.get("/storage/by-ref/:ref", async (req, res) => {
    const { ref } = req.params;
    const versions = messages
      .allProcessed("STORE")
      .filter((record) => record.envelope.item_hash === ref || record.item.content["ref"] === ref)
      .sort((a, b) => a.envelope.time - b.envelope.time);
    const latest = versions.at(-1);
    if (latest === undefined) throw refusal(404, "no STORE message with this ref on this node");
    res.json(await storedFile(parts, req, latest, ref));
  });

  return router;
}

/** GET /ipfs/<cid>: what a gateway offers, so that a compute node can be pointed at this one. */
export function gatewayRoutes(parts: NodeParts): Router {
  const router = Router();
  router.get("/ipfs/:hash", async (req, res) => sendFile(parts, req.params.hash, req, res));
  return router;
}

async function addFile(parts: NodeParts, way: UploadWay, req: Request, res: Response): Promise<void> {
  const { limits, files, processor, syncWaitMs } = parts;
  const engine = way === "storage" ? "storage" : "ipfs";
  const mostBytes = { storage: limits.storageBytes, ipfs: limits.ipfsBytes, car: limits.carBytes }[way];
  const { file, name, metadata } = await receiveUpload(req, files, {
    engine,
    mostBytes,
    // An archive never comes without its message.
    mostUnauthenticatedBytes: way === "car" ? Infinity : limits.unauthenticatedBytes,
    ...(way === "car" ? { receive: (source) => receiveCar(source, { files, mostBytes }) } : {}),
  });
  if (way === "car" && metadata === undefined) {
    await file.discard();
    throw new HttpRefusal(422, "metadata: required");
  }
  const answer = {
    status: "success",
    hash: file.hash,
    ...(way === "ipfs" ? { name: name ?? "file", size: file.bytes } : {}),
    ...(way === "car" ? { size: file.bytes } : {}),
  };
  let store: { readonly envelope: Envelope; readonly sync: boolean } | undefined;
  try {
    if (metadata !== undefined) store = await requireStore(parts, engine, file, metadata);
    await file.commit();
  } catch (error) {
    await file.discard();
    throw error;
  }
  processor.retryPending();
  if (store === undefined) {
    res.json(answer);
    return;
  }
  const record: MessageRecord = await processor.submit(store.envelope, store.sync ? syncWaitMs() : 0);
  // A rejected STORE has status 422 and yet says "success": the file is here.
  res.status(publishedStatus(record).http).json(answer);
}

/** The checks of an upload that comes with its STORE message, in the network's order. Errors: `HttpRefusal`. */
async function requireStore(parts: NodeParts, engine: StorageEngine, file: ReceivedFile, metadata: string) {
  const request = parseMetadata(metadata);
  const envelope = requireFormat(request.message);
  if (envelope.type !== "STORE" || envelope.item_type !== "inline") throw INVALID_FORMAT;
  if (!isSignedBySender(envelope)) throw new HttpRefusal(403, "");
  const read = readItem(envelope);
  if (read?.type !== "STORE") throw INVALID_FORMAT;
  if (read.content.item_type !== engine || read.content.item_hash !== file.hash) {
    throw new HttpRefusal(422, `File hash does not match (${file.hash} != ${read.content.item_hash})`);
  }
  await requireFunds(parts, read, file);
  return { envelope, sync: request.sync };
}

async function requireFunds(parts: NodeParts, read: Content, file: ReceivedFile): Promise<void> {
  try {
    // On this path the network asks holders of ALEPH to pay for small files too.
    await parts.accounts.requireFunds(read, { sizeOf: () => Promise.resolve(file.bytes), smallIsFree: false });
  } catch (error) {
    if (!(error instanceof Rejection)) throw error;
    throw new HttpRefusal(402, {
      status: "error",
      message: "the balance does not cover this file",
      details: error.details,
    });
  }
}

function parseMetadata(text: string) {
  try {
    return metadataRequest.parse(JSON.parse(text));
  } catch {
    throw new HttpRefusal(422, 'metadata: must be JSON with "message" and "sync"');
  }
}

async function sendFile(parts: NodeParts, name: string, req: Request, res: Response): Promise<void> {
  const hash = parseFileHash(name);
  const size = await requireBytes(parts, hash);
  const path = await parts.files.path(hash);
  if (path === undefined) throw refusal(404, "no file with this hash on this node");
  // The network's nodes cannot resume a download, so neither can this one.
  res.set({
    "Accept-Ranges": "none",
    "Content-Type": "application/octet-stream",
    "Content-Length": String(size),
    ETag: `"${hash}"`,
  });
  if (req.method === "HEAD") {
    res.end();
    return;
  }
  await pipeline(createReadStream(path), res).catch((error: unknown) => {
    // The client left: there is nobody to tell.
    if ((error as NodeJS.ErrnoException).code !== "ERR_STREAM_PREMATURE_CLOSE") throw error;
  });
}

async function requireBytes({ files }: NodeParts, hash: FileHash): Promise<number> {
  const bytes = await files.bytes(hash);
  if (bytes === undefined) throw refusal(404, "no file with this hash on this node");
  return bytes;
}

async function storedFile(parts: NodeParts, req: Request, record: ProcessedRecord, ref: string) {
  const hash = parseFileHash(String(record.item.content["item_hash"]));
  return {
    ref,
    owner: record.item.content["address"],
    file_hash: hash,
    download_url: downloadUrl(req, hash),
    size: await requireBytes(parts, hash),
  };
}

function downloadUrl(req: Request, hash: FileHash): string {
  const origin = `${req.protocol}://${req.get("host") ?? "localhost"}`;
  return storageEngineOf(hash) === "ipfs" ? `${origin}/ipfs/${hash}` : `${origin}/api/v0/storage/raw/${hash}`;
}

/** The network writes JSON again before it hashes it: keys sorted, no white space. */
function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, item]) => [key, sortKeys(item)]));
}

async function* toStream(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
