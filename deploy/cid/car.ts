/**
 * A file as CARv1, the archive in which nodes take files above 1 GiB: a header with the one root, then the blocks of
 * the file's tree, children before parents. Written while the file is read, in constant memory.
 * Source: the CARv1 specification.
 */
import { createReadStream } from "node:fs";

import { CodedError } from "../../src/domain/errors.ts";
import type { FileHash } from "../../src/domain/hash.ts";
import { CidHasher, LEAF_BYTES, LINKS_MAX, multihashOf, varint, type TreeBlock } from "./cid.ts";

const READ_BYTES = 1_048_576;
/** Of sha2-256. A CIDv0 is nothing else. */
const MULTIHASH_BYTES = 34;

/** Bytes of the archive of a file of `bytes` bytes: they depend on nothing else. */
export function carBytes(bytes: number): number {
  const whole = Math.floor(bytes / LEAF_BYTES);
  const rest = bytes - whole * LEAF_BYTES;
  let level = Array.from({ length: whole }, () => leafSize(LEAF_BYTES));
  if (rest > 0 || bytes === 0) level.push(leafSize(rest));
  let total = toHeader(Buffer.alloc(MULTIHASH_BYTES)).length;
  for (;;) {
    for (const { blockBytes } of level) total += sectionBytes(blockBytes);
    if (level.length === 1) return total;
    const parents: Size[] = [];
    for (let at = 0; at < level.length; at += LINKS_MAX) parents.push(parentOf(level.slice(at, at + LINKS_MAX)));
    level = parents;
  }
}

/** Errors: `image_invalid` when the file is not the one that `cid` names; those of the operating system. */
export async function* writeCar(
  path: string,
  bytes: number,
  cid: FileHash,
  onProgress: (doneBytes: number) => void,
): AsyncGenerator<Uint8Array> {
  yield toHeader(multihashOf(cid));
  let ready: Uint8Array[] = [];
  const hasher = new CidHasher((block) => void ready.push(...toSection(block)));
  const file = bytes === 0 ? [] : createReadStream(path, { end: bytes - 1, highWaterMark: READ_BYTES });
  let doneBytes = 0;
  for await (const chunk of file as AsyncIterable<Buffer>) {
    hasher.update(chunk);
    yield* ready;
    ready = [];
    doneBytes += chunk.length;
    onProgress(doneBytes);
  }
  const found = hasher.digest();
  if (found !== cid) throw new CodedError("image_invalid", `${path} is ${found} now, not ${cid}: build it again`);
  yield* ready;
}

/** dag-cbor: `{roots: [cid], version: 1}`. */
function toHeader(multihash: Buffer): Buffer {
  const header = Buffer.concat([
    Buffer.from([0xa2, 0x65]),
    Buffer.from("roots"),
    // An array of one, tag 42, a byte string that begins with the zero of the identity base.
    Buffer.from([0x81, 0xd8, 0x2a, 0x58, multihash.length + 1, 0]),
    multihash,
    Buffer.from([0x67]),
    Buffer.from("version"),
    Buffer.from([1]),
  ]);
  return Buffer.concat([Buffer.from(varint(header.length)), header]);
}

/** The pieces are copied into one buffer: what the hasher gives is valid for a moment only. */
function toSection({ multihash, pieces }: TreeBlock): Uint8Array[] {
  const blockBytes = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
  return [Buffer.concat([Buffer.from(varint(multihash.length + blockBytes)), multihash, ...pieces])];
}

function sectionBytes(blockBytes: number): number {
  return varint(MULTIHASH_BYTES + blockBytes).length + MULTIHASH_BYTES + blockBytes;
}

interface Size {
  readonly blockBytes: number;
  readonly treeBytes: number;
  readonly fileBytes: number;
}

function leafSize(fileBytes: number): Size {
  const size = varint(fileBytes).length;
  const unixfs = 2 + (fileBytes > 0 ? 1 + size + fileBytes : 0) + 1 + size;
  const blockBytes = 1 + varint(unixfs).length + unixfs;
  return { blockBytes, treeBytes: blockBytes, fileBytes };
}

function parentOf(children: readonly Size[]): Size {
  const fileBytes = children.reduce((sum, child) => sum + child.fileBytes, 0);
  let unixfs = 2 + 1 + varint(fileBytes).length;
  let links = 0;
  for (const child of children) {
    unixfs += 1 + varint(child.fileBytes).length;
    const link = 2 + MULTIHASH_BYTES + 2 + 1 + varint(child.treeBytes).length;
    links += 1 + varint(link).length + link;
  }
  const blockBytes = links + 1 + varint(unixfs).length + unixfs;
  return { blockBytes, treeBytes: blockBytes + children.reduce((sum, child) => sum + child.treeBytes, 0), fileBytes };
}
