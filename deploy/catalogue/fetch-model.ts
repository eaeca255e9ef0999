/**
 * Downloads a model file from a hub. It can be killed at any moment and started again: bytes wait in FILE.part, and
 * FILE appears when it is whole and its hash is right.
 */
import { mkdir, readFile, stat, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import * as z from "zod";

import { isDiskFull } from "../files/disk-full.ts";
import { CodedError } from "../../src/domain/errors.ts";
import { parseSha256, type Sha256 } from "../../src/domain/hash.ts";
import type { HubSource } from "./catalogue.ts";
import { lockDownload } from "./download-lock.ts";
import { rememberSha256, sha256OfFile } from "./hash-file.ts";
import { hubFrom, lookUp, openFile, PassingFailure, reasonOf, type Hub, type HubFile } from "./hub.ts";
import { partBytes, PartFile, type PartDescription } from "./part-file.ts";
import { createRetry, type Retry, type RetryOptions } from "./retry.ts";
import { createRateMeter, type TransferProgress } from "./transfer-rate.ts";
import { writeFileAtomically } from "../files/write-file-atomically.ts";

/** In a row, without a single new byte between them. */
const MAX_FAILURES = 6;
/** Somebody who is offline should hear it soon. */
const MAX_LOOK_UP_FAILURES = 3;
/** Left free on the disk, for everybody else. */
const SPARE_DISK_BYTES = 64 * 1024 * 1024;

export interface FetchOptions extends RetryOptions {
  /** Models lie in it as owner/repository/file. */
  readonly modelsDirectory: string;
  readonly cacheDirectory: string;
  /** The catalogue's hash, which wins over the hub's. */
  readonly sha256?: Sha256 | undefined;
  /** HF_ENDPOINT and HF_TOKEN are read. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: TransferProgress) => void) | undefined;
  /** For tests. */
  readonly freeDiskBytes?: (directory: string) => Promise<number>;
}

export interface FetchedModel {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: Sha256;
  /** Whose hash the file was compared with; `nobody` where neither the catalogue nor the hub has one. */
  readonly verifiedBy: "catalogue" | "hub" | "nobody";
  /** Of the repository, where the hub names it. */
  readonly commit: string | undefined;
  /** False when it was there already. */
  readonly downloaded: boolean;
}

/** What was fetched, kept as FILE.json: a later run needs no network to know the file again. */
const fetchedRecord = z.object({
  url: z.string(),
  revision: z.string().optional(),
  commit: z.string().optional(),
  bytes: z.number(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  verifiedBy: z.enum(["catalogue", "hub", "nobody"]),
});

/**
 * Errors: `download_failed`, `hash_mismatch`, `disk_full`, `already_running`, `interrupted` (the part is kept),
 * `config_invalid`, `data_directory`.
 */
export async function fetchModel(source: HubSource, options: FetchOptions): Promise<FetchedModel> {
  const hub = hubFrom(options.environment);
  const path = pathOf(source, options.modelsDirectory);
  const signal = options.signal ?? new AbortController().signal;
  try {
    const present = await findFetched(path, source, options);
    if (present !== undefined) return present;
    await mkdir(dirname(path), { recursive: true });
    const release = await lockDownload(path);
    try {
      // Another process may have finished it just before.
      return (await findFetched(path, source, options)) ?? (await download(hub, source, path, options, signal));
    } finally {
      await release();
    }
  } catch (error) {
    throw inWords(error, path, signal);
  }
}

/** Whether the whole file is here already, as far as can be told without reading it. */
export async function isFetched(
  source: HubSource,
  options: { readonly directory: string; readonly sha256: Sha256 | undefined },
): Promise<boolean> {
  const path = pathOf(source, options.directory);
  const record = await readRecord(path);
  if (record === undefined || (await stat(path).catch(() => undefined))?.size !== record.bytes) return false;
  return options.sha256 === undefined ? record.revision === source.revision : record.sha256 === options.sha256;
}

function pathOf(source: HubSource, modelsDirectory: string): string {
  return join(modelsDirectory, source.owner, source.repository, ...source.file.split("/"));
}

async function findFetched(path: string, source: HubSource, options: FetchOptions): Promise<FetchedModel | undefined> {
  const record = await readRecord(path);
  const sameRevision = record !== undefined && record.revision === source.revision;
  const expected = options.sha256 ?? (sameRevision ? parseSha256(record.sha256) : undefined);
  if (expected === undefined) return undefined;
  const { cacheDirectory, signal, onProgress } = options;
  let sha256: Sha256;
  try {
    sha256 = await sha256OfFile(path, { cacheDirectory, signal, onProgress });
  } catch (error) {
    if (error instanceof CodedError && error.code === "model_file_missing") return undefined;
    throw error;
  }
  if (sha256 !== expected) return undefined;
  const { size: bytes } = await stat(path);
  const verifiedBy = options.sha256 === undefined ? (record?.verifiedBy ?? "nobody") : "catalogue";
  return { path, bytes, sha256, verifiedBy, commit: record?.commit, downloaded: false };
}

async function readRecord(path: string): Promise<z.infer<typeof fetchedRecord> | undefined> {
  try {
    return fetchedRecord.parse(JSON.parse(await readFile(`${path}.json`, "utf8")));
  } catch {
    return undefined;
  }
}

async function download(
  hub: Hub,
  source: HubSource,
  path: string,
  options: FetchOptions,
  signal: AbortSignal,
): Promise<FetchedModel> {
  const retry = createRetry(options, signal);
  const file = await retry(
    MAX_LOOK_UP_FAILURES,
    () => 0,
    (stall) => lookUp(hub, source, stall.signal),
  );
  if (options.sha256 !== undefined && file.sha256 !== undefined && file.sha256 !== options.sha256) {
    throw mismatch(source, options.sha256, "the catalogue", file.sha256, "The hub offers", "Nothing was downloaded.");
  }
  const wanted: PartDescription = {
    url: file.url.href,
    bytes: file.bytes,
    ...(file.etag === undefined ? {} : { etag: file.etag }),
    ...(file.sha256 === undefined ? {} : { sha256: file.sha256 }),
  };
  await checkDisk(dirname(path), file.bytes - (await partBytes(path, wanted)), options);

  const part = await PartFile.open(path, wanted, signal);
  let kept = true;
  try {
    await transfer(hub, source, file, part, options, retry);
    const sha256 = part.sha256();
    const expected = options.sha256 ?? file.sha256;
    const verifiedBy = options.sha256 !== undefined ? "catalogue" : file.sha256 !== undefined ? "hub" : "nobody";
    if (expected !== undefined && sha256 !== expected) {
      kept = false;
      await part.discard();
      const whose = verifiedBy === "catalogue" ? "the catalogue" : "the hub";
      throw mismatch(
        source,
        expected,
        whose,
        sha256,
        "The downloaded file has",
        "It was deleted. Run the same command again.",
      );
    }
    const { commit, bytes, url } = file;
    const record = { url: url.href, revision: source.revision, commit, bytes, sha256, verifiedBy };
    await writeFileAtomically(`${path}.json`, `${JSON.stringify(record, undefined, 2)}\n`);
    // The record comes first: a kill in between leaves a record without its file, which is no file.
    kept = false;
    await part.complete();
    await rememberSha256(path, options.cacheDirectory, sha256);
    return { path, bytes, sha256, verifiedBy, commit, downloaded: true };
  } finally {
    if (kept) await part.close();
  }
}

/** Fills the part until it has all bytes, over as many connections as it takes. */
async function transfer(
  hub: Hub,
  source: HubSource,
  file: HubFile,
  part: PartFile,
  options: FetchOptions,
  retry: Retry,
): Promise<void> {
  const progressAt = createRateMeter(file.bytes);
  const report = () => options.onProgress?.(progressAt(part.doneBytes));
  report();
  // Tags of one server; the hub may send each connection to another one.
  const tags = new Map<string, string>();
  await retry(
    MAX_FAILURES,
    () => part.doneBytes,
    async (stall) => {
      if (part.doneBytes === file.bytes) return;
      const response = await openFile(hub, source, file.url, part.doneBytes, stall.signal);
      const { host } = new URL(response.url);
      if (part.doneBytes > 0 && !continues(response, part.doneBytes, file.bytes, tags.get(host))) {
        await part.beginAnew();
        if (response.status !== 200) {
          await response.body?.cancel();
          throw new PassingFailure(`${host} did not send the part that was asked for`);
        }
      }
      const etag = response.headers.get("etag");
      if (etag !== null) tags.set(host, etag);
      try {
        for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
          stall.restart();
          if (part.doneBytes + chunk.length > file.bytes) {
            await part.beginAnew();
            throw new CodedError("download_failed", `${host} sends more than the ${file.bytes} bytes it announced.`);
          }
          await part.append(chunk);
          report();
        }
      } catch (error) {
        // undici reports a connection that breaks as a TypeError; a full disk is no such thing.
        if (!(error instanceof TypeError)) throw error;
        throw new PassingFailure(`the connection to ${host} was lost${reasonOf(error)}`, undefined, { cause: error });
      }
      if (part.doneBytes < file.bytes) throw new PassingFailure(`${host} ended before the file did`);
    },
  );
}

/** Whether the answer is the wanted rest of the same content. A server that ignores ranges answers 200 with all of it. */
function continues(response: Response, fromByte: number, totalBytes: number, tag: string | undefined): boolean {
  if (response.status !== 206) return false;
  const [, start, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "") ?? [];
  const etag = response.headers.get("etag");
  const sameTag = tag === undefined || etag === null || tag === etag;
  return sameTag && Number(start) === fromByte && (total === "*" || Number(total) === totalBytes);
}

async function checkDisk(directory: string, neededBytes: number, options: FetchOptions): Promise<void> {
  const freeBytes = await (options.freeDiskBytes ?? freeDiskBytes)(directory);
  if (neededBytes + SPARE_DISK_BYTES <= freeBytes) return;
  throw new CodedError(
    "disk_full",
    `${directory} has ${mebibytes(freeBytes)} MiB free; this download needs ${mebibytes(neededBytes)} MiB, ` +
      `and ${mebibytes(SPARE_DISK_BYTES)} MiB are to stay free. Make room, then run the same command again.`,
  );
}

async function freeDiskBytes(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}

function mebibytes(bytes: number): string {
  return Math.ceil(bytes / 1024 / 1024).toLocaleString("en-US");
}

function mismatch(
  { file }: HubSource,
  expected: Sha256,
  whose: string,
  found: Sha256,
  where: string,
  then: string,
): CodedError {
  return new CodedError(
    "hash_mismatch",
    `${file} should have the sha256 ${expected} according to ${whose}. ${where} ${found}. ${then}`,
  );
}

const KEPT = "What was downloaded is kept; run the same command again to go on.";

/** Gives every failure a sentence that says what to do. */
function inWords(error: unknown, path: string, signal: AbortSignal): unknown {
  if (signal.aborted) return new CodedError("interrupted", `the download was interrupted. ${KEPT}`, { cause: error });
  if (error instanceof CodedError) return error;
  if (error instanceof PassingFailure) {
    return new CodedError("download_failed", `${error.message}. ${KEPT}`, { cause: error });
  }
  const { code } = error as NodeJS.ErrnoException;
  if (isDiskFull(error)) {
    return new CodedError("disk_full", `the disk of ${dirname(path)} is full. Make room. ${KEPT}`, { cause: error });
  }
  if (code === "EACCES" || code === "EROFS" || code === "EPERM" || code === "ENOTDIR") {
    return new CodedError("data_directory", `${dirname(path)} cannot be written (${code}).`, { cause: error });
  }
  return error;
}
