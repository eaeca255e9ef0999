/**
 * Takes a file that arrives as CARv1 apart: every block is compared with its hash, then the tree is walked from the one
 * root. Blocks may come in any order, so they go to disk first; memory holds their places only.
 * Source: the CARv1, dag-pb and UnixFS specifications; pyaleph 0.10, web/controllers/ipfs.py.
 */
import { createHash } from "node:crypto";
import { open, rm, type FileHandle } from "node:fs/promises";

import type { ContentStore, ReceivedFile } from "./content-store.ts";
import { TooManyBytes } from "./content-store.ts";
import { readNode } from "./dag-pb.ts";
import { HttpRefusal } from "./http-refusal.ts";

const HEADER_BYTES = 8192;
/** Kubo refuses larger ones. */
const BLOCK_BYTES = 2 * 1_048_576;
const SHA2_256 = Buffer.from([0x12, 0x20]);
const RAW = 0x55;
const DEPTH_MAX = 8;

export interface CarOptions {
  readonly files: ContentStore;
  /** Of the archive. */
  readonly mostBytes: number;
}

interface Place {
  readonly at: number;
  readonly bytes: number;
  readonly isRaw: boolean;
}

/** Errors: `HttpRefusal` 400, 413 or 502, `TooManyBytes`, `disk_full`, `data_directory`. */
export async function receiveCar(
  source: AsyncIterable<Uint8Array>,
  { files, mostBytes }: CarOptions,
): Promise<ReceivedFile> {
  const path = files.partPath();
  const blocks = await open(path, "wx+");
  try {
    const places = new Map<string, Place>();
    const root = await readSections(source, mostBytes, blocks, places);
    if (!places.has(root)) throw failed("its root is not among its blocks");
    return await files.receive(walk(root, blocks, places, 0), "ipfs", Infinity);
  } finally {
    await blocks.close();
    await rm(path, { force: true });
  }
}

/** The archive's one root, as the multihash in hexadecimal digits. */
async function readSections(
  source: AsyncIterable<Uint8Array>,
  mostBytes: number,
  blocks: FileHandle,
  places: Map<string, Place>,
): Promise<string> {
  let pending: Buffer = Buffer.alloc(0);
  let received = 0;
  let written = 0;
  let root: string | undefined;
  for await (const chunk of source) {
    received += chunk.byteLength;
    if (received > mostBytes) throw new TooManyBytes();
    pending = pending.length === 0 ? Buffer.from(chunk) : Buffer.concat([pending, chunk]);
    let at = 0;
    for (;;) {
      const section = readSection(pending, at, root === undefined ? HEADER_BYTES : BLOCK_BYTES);
      if (section === undefined) break;
      at = section.end;
      if (root === undefined) {
        root = readHeader(section.bytes);
        continue;
      }
      const { multihash, data, isRaw } = readBlock(section.bytes);
      if (!places.has(multihash)) {
        places.set(multihash, { at: written, bytes: data.length, isRaw });
        await blocks.write(data, 0, data.length, written);
        written += data.length;
      }
    }
    pending = pending.subarray(at);
  }
  if (root === undefined || pending.length > 0) throw failed("it ends in the middle");
  return root;
}

function readSection(bytes: Buffer, at: number, mostBytes: number) {
  let length = 0;
  let scale = 1;
  let from = at;
  for (;;) {
    const byte = bytes[from];
    if (byte === undefined) return undefined;
    from += 1;
    length += (byte & 0x7f) * scale;
    scale *= 128;
    if (byte < 0x80) break;
    if (scale > 2 ** 42) throw failed("a length in it is too long");
  }
  if (length > mostBytes) throw failed(`a part of it has ${length} bytes`);
  if (from + length > bytes.length) return undefined;
  return { bytes: bytes.subarray(from, from + length), end: from + length };
}

/** dag-cbor of `{roots: [cid], version: 1}`, which has one form only. */
function readHeader(bytes: Buffer): string {
  const start = Buffer.concat([Buffer.from([0xa2, 0x65]), Buffer.from("roots"), Buffer.from([0x81, 0xd8, 0x2a, 0x58])]);
  const end = Buffer.concat([Buffer.from([0x67]), Buffer.from("version"), Buffer.from([1])]);
  const length = bytes[start.length] ?? 0;
  const cid = bytes.subarray(start.length + 2, start.length + 1 + length);
  if (!bytes.subarray(0, start.length).equals(start) || !bytes.subarray(start.length + 1 + length).equals(end)) {
    throw new HttpRefusal(400, "the archive must be CARv1 with exactly one root");
  }
  return readCid(cid).multihash;
}

function readCid(bytes: Buffer): { multihash: string; length: number; isRaw: boolean } {
  const isV0 = bytes.subarray(0, 2).equals(SHA2_256);
  const at = isV0 ? 0 : 2;
  if (!isV0 && (bytes[0] !== 1 || ![RAW, 0x70].includes(bytes[1] ?? 0))) throw failed("it has a CID of another kind");
  const multihash = bytes.subarray(at, at + 34);
  if (multihash.length < 34 || !multihash.subarray(0, 2).equals(SHA2_256))
    throw failed("it has a hash of another kind");
  return { multihash: multihash.toString("hex"), length: at + 34, isRaw: !isV0 && bytes[1] === RAW };
}

function readBlock(section: Buffer) {
  const { multihash, length, isRaw } = readCid(section);
  const data = section.subarray(length);
  if (createHash("sha256").update(data).digest("hex") !== multihash.slice(4)) {
    throw failed("a block in it does not have the hash that it is named by");
  }
  return { multihash, data, isRaw };
}

/** The file's bytes, in order. */
async function* walk(
  multihash: string,
  blocks: FileHandle,
  places: ReadonlyMap<string, Place>,
  depth: number,
): AsyncGenerator<Uint8Array> {
  const place = places.get(multihash);
  if (place === undefined) throw failed("a block of the file is missing from it");
  if (depth > DEPTH_MAX) throw failed("its tree is too deep");
  const bytes = Buffer.alloc(place.bytes);
  await blocks.read(bytes, 0, place.bytes, place.at);
  const node = place.isRaw ? { links: [], data: bytes } : readNode(bytes);
  if (node === undefined) throw failed("its root is no file");
  if (node.data.length > 0) yield node.data;
  for (const link of node.links) yield* walk(readCid(link).multihash, blocks, places, depth + 1);
}

/** What a node answers when its IPFS daemon cannot import the archive. */
function failed(why: string): HttpRefusal {
  return new HttpRefusal(502, { status: "error", message: `the CAR cannot be imported: ${why}` });
}
