/**
 * The first 96 bytes of a squashfs image. Left out: compressor options, which no image built here has.
 * Source: Linux, fs/squashfs/squashfs_fs.h, struct squashfs_super_block (little-endian).
 */
import { CodedError } from "../../src/domain/errors.ts";
import type { Compression } from "./compress.ts";
import { NO_TABLE } from "./squashfs-format.ts";

export const SUPERBLOCK_BYTES = 96;
const MAGIC = 0x73717368;
/** Numbers of compressors. */
const Compressor = { gzip: 1, zstd: 6 } as const;

const Flag = {
  plainInodes: 0x1,
  plainData: 0x2,
  plainFragments: 0x8,
  noFragments: 0x10,
  noXattrs: 0x200,
  plainIds: 0x800,
} as const;

const BLOCK_BYTES_MIN = 4096;
const BLOCK_BYTES_MAX = 1 << 20;

export interface Superblock {
  /** "none" when nothing in the image is compressed. */
  readonly compression: Compression;
  readonly inodeCount: number;
  readonly blockBytes: number;
  /** In seconds since 1970; 0 in every image built here. */
  readonly madeAt: number;
  readonly idCount: number;
  readonly fragmentCount: number;
  /** Offset of the root's metadata block within the inode table, times 65,536, plus its place in that block. */
  readonly rootInode: number;
  /** Without the padding at the end. This and the offsets below are in bytes. */
  readonly usedBytes: number;
  readonly idTableAt: number;
  readonly inodeTableAt: number;
  readonly directoryTableAt: number;
}

/** The layout of an image built here: one id, no fragments, time 0. */
export function toSuperblock(facts: Omit<Superblock, "madeAt" | "idCount" | "fragmentCount">): Buffer {
  const block = Buffer.alloc(SUPERBLOCK_BYTES);
  const plain = Flag.plainInodes | Flag.plainData | Flag.plainFragments | Flag.plainIds;
  block.writeUInt32LE(MAGIC, 0);
  block.writeUInt32LE(facts.inodeCount, 4);
  block.writeUInt32LE(facts.blockBytes, 12);
  block.writeUInt16LE(facts.compression === "zstd" ? Compressor.zstd : Compressor.gzip, 20); // must name a known compressor even when nothing is compressed
  block.writeUInt16LE(Math.log2(facts.blockBytes), 22);
  block.writeUInt16LE(Flag.noFragments | Flag.noXattrs | (facts.compression === "none" ? plain : 0), 24);
  block.writeUInt16LE(1, 26);
  block.writeUInt16LE(4, 28);
  block.writeUInt16LE(0, 30);
  block.writeBigUInt64LE(BigInt(facts.rootInode), 32);
  block.writeBigUInt64LE(BigInt(facts.usedBytes), 40);
  block.writeBigUInt64LE(BigInt(facts.idTableAt), 48);
  block.writeBigUInt64LE(NO_TABLE, 56); // extended attributes
  block.writeBigUInt64LE(BigInt(facts.inodeTableAt), 64);
  block.writeBigUInt64LE(BigInt(facts.directoryTableAt), 72);
  block.writeBigUInt64LE(NO_TABLE, 80); // fragments
  block.writeBigUInt64LE(NO_TABLE, 88); // NFS export
  return block;
}

/**
 * Reads the superblock and checks that its offsets are in order and inside `imageBytes`.
 * Errors: `image_not_squashfs` on a wrong magic, a version other than 4.0, or fewer than 96 bytes;
 *         `image_invalid` on contradictions, and on compressors that this product does not write.
 */
export function readSuperblock(head: Uint8Array, imageBytes: number): Superblock {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  if (
    head.byteLength < SUPERBLOCK_BYTES ||
    view.getUint32(0, true) !== MAGIC ||
    view.getUint16(28, true) !== 4 ||
    view.getUint16(30, true) !== 0
  ) {
    throw new CodedError("image_not_squashfs", `no squashfs 4.0 superblock in ${head.byteLength} bytes`);
  }
  const flags = view.getUint16(24, true);
  const isPlain = (flags & Flag.plainInodes) !== 0 && (flags & Flag.plainData) !== 0;
  const compressor = view.getUint16(20, true);
  const superblock: Superblock = {
    compression: isPlain ? "none" : compressor === Compressor.zstd ? "zstd" : "gzip",
    inodeCount: view.getUint32(4, true),
    madeAt: view.getUint32(8, true),
    blockBytes: view.getUint32(12, true),
    fragmentCount: view.getUint32(16, true),
    idCount: view.getUint16(26, true),
    rootInode: toNumber(view.getBigUint64(32, true), "root inode"),
    usedBytes: toNumber(view.getBigUint64(40, true), "size"),
    idTableAt: toNumber(view.getBigUint64(48, true), "id table"),
    inodeTableAt: toNumber(view.getBigUint64(64, true), "inode table"),
    directoryTableAt: toNumber(view.getBigUint64(72, true), "directory table"),
  };
  checkSuperblock(superblock, imageBytes, view.getUint16(22, true));
  if (!isPlain && !Object.values<number>(Compressor).includes(compressor)) {
    invalid(`compressor ${compressor} is neither gzip nor zstd`);
  }
  return superblock;
}

function checkSuperblock(superblock: Superblock, imageBytes: number, blockLog: number): void {
  const { blockBytes, usedBytes, idTableAt, inodeTableAt, directoryTableAt } = superblock;
  if (blockBytes < BLOCK_BYTES_MIN || blockBytes > BLOCK_BYTES_MAX || blockBytes !== 2 ** blockLog) {
    invalid(`block size ${blockBytes} with logarithm ${blockLog}`);
  }
  if (usedBytes > imageBytes) invalid(`it says ${usedBytes} bytes but has ${imageBytes}: it is truncated`);
  const inOrder = [SUPERBLOCK_BYTES, inodeTableAt, directoryTableAt, idTableAt, usedBytes];
  if (inOrder.some((offset, index) => offset < (inOrder[index - 1] ?? 0)) || idTableAt + 8 > usedBytes) {
    invalid("its tables are out of order or outside of the image");
  }
  if (superblock.inodeCount === 0 || superblock.idCount === 0) invalid("it has no inodes or no ids");
  if (superblock.fragmentCount !== 0) invalid("it has fragments, which are not read here");
}

function toNumber(value: bigint, what: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) invalid(`${what} is beyond any real image`);
  return Number(value);
}

function invalid(why: string): never {
  throw new CodedError("image_invalid", `not an image that can be read: ${why}`);
}
