/**
 * The name that an IPFS node of the network gives to a file, computed here and in constant memory: CIDv0 of UnixFS
 * nodes in dag-pb, chunks of 262,144 bytes, no raw leaves, a balanced tree with at most 174 links in each node.
 * Source: go-ipfs `add --cid-version=0`, as pyaleph calls it; the tests hold known answers.
 */
import { createHash } from "node:crypto";

import { parseFileHash, type FileHash } from "../../src/domain/hash.ts";

const CHUNK_BYTES = 262_144;
const LINKS_PER_NODE = 174;
/** sha2-256, 32 bytes. */
const MULTIHASH_PREFIX = Buffer.of(0x12, 0x20);
const BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

interface DagNode {
  readonly multihash: Buffer;
  /** Bytes of the file below this node. */
  readonly fileBytes: number;
  /** Bytes of this block and of all blocks below it. */
  readonly treeBytes: number;
}

/** Takes the bytes of a file in order, as chunks of any size. */
export class CidV0Hasher {
  readonly #chunk = Buffer.alloc(CHUNK_BYTES);
  #chunkBytes = 0;
  /** Nodes that have no parent yet, leaves first; no level ever holds more than one node's links. */
  readonly #levels: DagNode[][] = [[]];

  update(bytes: Uint8Array): void {
    let offset = 0;
    while (offset < bytes.byteLength) {
      if (this.#chunkBytes === CHUNK_BYTES) this.#endChunk();
      const part = bytes.subarray(offset, offset + CHUNK_BYTES - this.#chunkBytes);
      this.#chunk.set(part, this.#chunkBytes);
      this.#chunkBytes += part.byteLength;
      offset += part.byteLength;
    }
  }

  /** To be called once. */
  digest(): FileHash {
    // An empty file is one empty leaf.
    if (this.#chunkBytes > 0 || this.#levels[0]?.length === 0) this.#endChunk();
    for (let level = 0; ; level++) {
      const nodes = this.#levels[level] ?? [];
      const [only] = nodes;
      if (only !== undefined && nodes.length === 1 && level === this.#levels.length - 1) {
        return parseFileHash(base58(only.multihash));
      }
      this.#add(level + 1, toParent(nodes));
    }
  }

  #endChunk(): void {
    this.#add(0, toLeaf(this.#chunk.subarray(0, this.#chunkBytes)));
    this.#chunkBytes = 0;
  }

  #add(level: number, node: DagNode): void {
    const nodes = (this.#levels[level] ??= []);
    // A full level gets its parent only when one more node comes: 174 leaves have one root, not two.
    if (nodes.length === LINKS_PER_NODE) this.#add(level + 1, toParent(nodes.splice(0)));
    nodes.push(node);
  }
}

function toLeaf(data: Uint8Array): DagNode {
  const head: Uint8Array[] = [Buffer.of(0x08, 0x02)];
  if (data.byteLength > 0) head.push(Buffer.of(0x12), varint(data.byteLength));
  const tail = Buffer.concat([Buffer.of(0x18), varint(data.byteLength)]);
  const unixFsBytes = lengthOf(head) + data.byteLength + tail.byteLength;
  return toNode([Buffer.of(0x0a), varint(unixFsBytes), ...head, data, tail], data.byteLength, 0);
}

function toParent(children: readonly DagNode[]): DagNode {
  const links: Uint8Array[] = [];
  const sizes: Uint8Array[] = [];
  let fileBytes = 0;
  let belowBytes = 0;
  for (const child of children) {
    const link = Buffer.concat([
      Buffer.of(0x0a, child.multihash.byteLength),
      child.multihash,
      Buffer.of(0x12, 0x00, 0x18),
      varint(child.treeBytes),
    ]);
    links.push(Buffer.of(0x12), varint(link.byteLength), link);
    sizes.push(Buffer.of(0x20), varint(child.fileBytes));
    fileBytes += child.fileBytes;
    belowBytes += child.treeBytes;
  }
  const unixFs = Buffer.concat([Buffer.of(0x08, 0x02, 0x18), varint(fileBytes), ...sizes]);
  return toNode([...links, Buffer.of(0x0a), varint(unixFs.byteLength), unixFs], fileBytes, belowBytes);
}

function toNode(block: readonly Uint8Array[], fileBytes: number, belowBytes: number): DagNode {
  const hash = createHash("sha256");
  for (const part of block) hash.update(part);
  const multihash = Buffer.concat([MULTIHASH_PREFIX, hash.digest()]);
  return { multihash, fileBytes, treeBytes: lengthOf(block) + belowBytes };
}

function lengthOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.byteLength, 0);
}

/** LEB128. Divides rather than shifts: sizes exceed 32 bits. */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** Of a multihash, which never begins with a zero byte. */
function base58(bytes: Uint8Array): string {
  let value = BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
  let text = "";
  while (value > 0n) {
    text = BASE58.charAt(Number(value % 58n)) + text;
    value /= 58n;
  }
  return text;
}
