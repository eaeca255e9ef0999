/**
 * Receives a file over HTTP straight to disk: multipart with `file` and perhaps `metadata`, in any order, or a raw body.
 * Source: pyaleph 0.10, web/controllers/storage.py and ipfs.py.
 */
import { Busboy, type BusboyHeaders, type BusboyInstance } from "@fastify/busboy";
import type { Request } from "express";

import type { ContentStore, ReceivedFile } from "./content-store.ts";
import { TooManyBytes } from "./content-store.ts";
import { refusal } from "./http-refusal.ts";

/** A signed message in JSON: its content is at most 200,000 characters. */
const METADATA_BYTES = 1_048_576;
/** What multipart adds around a file. */
const FRAMING_BYTES = METADATA_BYTES + 65_536;

export interface Upload {
  readonly file: ReceivedFile;
  /** The filename of the part. */
  readonly name: string | undefined;
  /** JSON text, unchecked. */
  readonly metadata: string | undefined;
}

export interface UploadRoute {
  readonly engine: "storage" | "ipfs";
  /** For what does not arrive as the file itself. */
  readonly receive?: (source: AsyncIterable<Uint8Array>) => Promise<ReceivedFile>;
  /** Bytes with metadata. */
  readonly mostBytes: number;
  /** Bytes without. */
  readonly mostUnauthenticatedBytes: number;
}

/** Errors: `HttpRefusal`, `TooManyBytes`, `disk_full`, `data_directory`. No file is left then. */
export async function receiveUpload(req: Request, files: ContentStore, route: UploadRoute): Promise<Upload> {
  const announced = Number(req.headers["content-length"] ?? 0);
  if (announced > route.mostBytes + FRAMING_BYTES) throw new TooManyBytes();
  const isMultipart = req.is("multipart/form-data") !== false;
  if (!isMultipart && route.engine === "ipfs") throw refusal(400, "send the file as multipart/form-data");
  if (!isMultipart) {
    const file = await files.receive(req, route.engine, route.mostUnauthenticatedBytes);
    return { file, name: undefined, metadata: undefined };
  }
  const upload = await receiveMultipart(req, files, route);
  // Metadata may follow the file, so what came without is known only now.
  if (upload.metadata === undefined && upload.file.bytes > route.mostUnauthenticatedBytes) {
    await upload.file.discard();
    throw new TooManyBytes();
  }
  return upload;
}

async function receiveMultipart(req: Request, files: ContentStore, route: UploadRoute): Promise<Upload> {
  const parser = createParser(req);
  let receiving: Promise<ReceivedFile> | undefined;
  let name: string | undefined;
  let metadata: Promise<string> | undefined;
  const ended = new Promise<void>((resolve, reject) => {
    const fail = (error: unknown) => {
      reject(error instanceof Error ? error : new Error(String(error)));
    };
    parser.on("file", (field, stream, filename) => {
      if (field === "metadata") {
        metadata = readText(stream);
        metadata.catch(fail);
        return;
      }
      if (field !== "file" || receiving !== undefined) {
        stream.resume();
        return;
      }
      name = typeof filename === "string" && filename !== "" ? filename : undefined;
      const source = stream as AsyncIterable<Uint8Array>;
      receiving = route.receive?.(source) ?? files.receive(source, route.engine, route.mostBytes);
      receiving.catch(fail);
      // A sender that leaves ends the parser, not the part: the part is ended here.
      req.once("close", () => {
        if (!req.complete) stream.destroy(refusal(400, "the upload ended early"));
      });
    });
    parser.on("field", (field, value) => {
      if (field === "metadata") metadata = Promise.resolve(value);
    });
    parser.on("finish", () => resolve());
    parser.on("error", () => fail(refusal(400, "the body is not complete multipart/form-data")));
    req.on("error", fail);
    req.once("close", () => {
      if (!req.complete) fail(refusal(400, "the upload ended early"));
    });
  });
  try {
    req.pipe(parser);
    await ended;
  } catch (error) {
    req.unpipe(parser);
    // Read to the end, so that the sender comes to see the answer.
    req.resume();
    await receiving?.then((file) => file.discard()).catch(() => undefined);
    throw error;
  }
  if (receiving === undefined) throw refusal(400, 'no part named "file"');
  return { file: await receiving, name, metadata: await metadata };
}

function createParser(req: Request): BusboyInstance {
  try {
    return new Busboy({
      headers: req.headers as BusboyHeaders,
      isPartAFile: (field, _type, filename) => field === "file" || filename !== undefined,
      limits: { fieldSize: METADATA_BYTES, parts: 16 },
    });
  } catch {
    throw refusal(400, "the multipart boundary is missing");
  }
}

/** Metadata that was sent as a file. */
async function readText(stream: AsyncIterable<unknown>): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += (chunk as Buffer).byteLength;
    if (bytes > METADATA_BYTES) throw refusal(413, "the metadata is too large");
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString("utf8");
}
