/**
 * The name an IPFS node gives to a file: CIDv0 of a UnixFS file tree with leaves of 262,144 bytes, 174 links to a
 * node, no raw leaves, no directory around it. Computed while the bytes pass by; memory grows with the depth of the
 * tree only: 174 links for each level, and three levels hold 7 GiB.
 * Source: the UnixFS and dag-pb specifications; the parameters are those the network's nodes use.
 */
import { createHash } from "node:crypto";

import { parseFileHash, type FileHash } from "../../src/domain/hash.ts";

export const LEAF_BYTES = 262_144;
export const LINKS_MAX = 174;

/** What a parent needs to know of a node. */
interface Link {
  readonly multihash: Buffer;
  /** The node's own encoding plus those of all nodes below it. */
  readonly treeBytes: number;
  readonly fileBytes: number;
}

/** A node of the tree as it is stored: its bytes in pieces, and their sha2-256 multihash. */
export interface TreeBlock {
  readonly multihash: Buffer;
  readonly pieces: readonly Uint8Array[];
}

export class CidHasher {
  /** Hears of every block, children before their parents. Pieces are valid until `update` or `digest` returns. */
  readonly #onBlock: (block: TreeBlock) => void;
  readonly #partialLeaf = Buffer.alloc(LEAF_BYTES);
  #partialBytes = 0;
  readonly #levels: Link[][] = [[]];

  constructor(onBlock: (block: TreeBlock) => void = () => undefined) {
    this.#onBlock = onBlock;
  }

  update(data: Uint8Array): void {
    let done = 0;
    while (done < data.byteLength) {
      if (this.#partialBytes === 0 && data.byteLength - done >= LEAF_BYTES) {
        this.#push(0, leafLink(data.subarray(done, done + LEAF_BYTES), this.#onBlock));
        done += LEAF_BYTES;
        continue;
      }
      const taken = Math.min(LEAF_BYTES - this.#partialBytes, data.byteLength - done);
      this.#partialLeaf.set(data.subarray(done, done + taken), this.#partialBytes);
      this.#partialBytes += taken;
      done += taken;
      if (this.#partialBytes === LEAF_BYTES) this.#flushPartialLeaf();
    }
  }

  digest(): FileHash {
    const isEmpty = this.#levels.length === 1 && this.#level(0).length === 0;
    if (this.#partialBytes > 0 || isEmpty) this.#flushPartialLeaf();
    for (let depth = 0; ; depth += 1) {
      const links = this.#level(depth);
      const isTop = depth === this.#levels.length - 1;
      if (isTop && links.length === 1) return parseFileHash(toBase58((links[0] as Link).multihash));
      this.#levels[depth] = [];
      this.#push(depth + 1, innerLink(links, this.#onBlock));
    }
  }

  #flushPartialLeaf(): void {
    this.#push(0, leafLink(this.#partialLeaf.subarray(0, this.#partialBytes), this.#onBlock));
    this.#partialBytes = 0;
  }

  // A full level moves up only when one more node arrives: 174 leaves are one node's children, not two levels.
  #push(depth: number, link: Link): void {
    if (this.#level(depth).length === LINKS_MAX) {
      const full = this.#level(depth);
      this.#levels[depth] = [];
      this.#push(depth + 1, innerLink(full, this.#onBlock));
    }
    this.#level(depth).push(link);
  }

  #level(depth: number): Link[] {
    return (this.#levels[depth] ??= []);
  }
}

const FILE_TYPE = [0x08, 0x02];

function leafLink(data: Uint8Array, onBlock: (block: TreeBlock) => void): Link {
  const size = varint(data.byteLength);
  const before = [...FILE_TYPE, ...(data.byteLength > 0 ? [0x12, ...size] : [])];
  const after = [0x18, ...size];
  const unixfsBytes = before.length + data.byteLength + after.length;
  const head = Buffer.from([0x0a, ...varint(unixfsBytes), ...before]);
  const tail = Buffer.from(after);
  const multihash = toMultihash(createHash("sha256").update(head).update(data).update(tail).digest());
  onBlock({ multihash, pieces: [head, data, tail] });
  return {
    multihash,
    treeBytes: head.byteLength + data.byteLength + after.length,
    fileBytes: data.byteLength,
  };
}

function innerLink(links: readonly Link[], onBlock: (block: TreeBlock) => void): Link {
  const fileBytes = links.reduce((sum, link) => sum + link.fileBytes, 0);
  const unixfs = [
    ...FILE_TYPE,
    0x18,
    ...varint(fileBytes),
    ...links.flatMap((link) => [0x20, ...varint(link.fileBytes)]),
  ];
  const encodedLinks = links.map(({ multihash, treeBytes }) => {
    const link = [0x0a, multihash.byteLength, ...multihash, 0x12, 0x00, 0x18, ...varint(treeBytes)];
    return Buffer.from([0x12, ...varint(link.length), ...link]);
  });
  const node = Buffer.concat([...encodedLinks, Buffer.from([0x0a, ...varint(unixfs.length), ...unixfs])]);
  const multihash = toMultihash(createHash("sha256").update(node).digest());
  onBlock({ multihash, pieces: [node] });
  return {
    multihash,
    treeBytes: node.byteLength + links.reduce((sum, link) => sum + link.treeBytes, 0),
    fileBytes,
  };
}

function toMultihash(sha256: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0x12, 0x20]), sha256]);
}

/** LEB128. Division instead of shifts, which stop at 32 bits. */
export function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  return [...bytes, rest];
}

const BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/** Of a CIDv0, whose text is its multihash in base58. */
export function multihashOf(cid: FileHash): Buffer {
  let value = 0n;
  for (const letter of cid) value = value * 58n + BigInt(BASE58.indexOf(letter));
  return Buffer.from(value.toString(16).padStart(68, "0"), "hex");
}

/** Without the rule for leading zero bytes: a sha256 multihash begins with 0x12. */
function toBase58(bytes: Buffer): string {
  let text = "";
  for (let rest = BigInt(`0x${bytes.toString("hex")}`); rest > 0n; rest /= 58n)
    text = BASE58[Number(rest % 58n)] + text;
  return text;
}
