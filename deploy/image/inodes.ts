/** Inode records. Every inode belongs to id number 0, has time 0, and one link unless it is a directory. */
import { InodeType, LISTING_EXTRA_BYTES, NO_INDEX } from "./squashfs-format.ts";
import type { IndexEntry, WrittenListing } from "./directory-listing.ts";

/** The data of one file as it lies in the image. */
export interface StoredData {
  /** Offset of the first stored block in the image. */
  readonly start: number;
  readonly bytes: number;
  /** One size word for each block. */
  readonly blocks: readonly number[];
  /** Bytes of all-zero blocks, which are not stored. */
  readonly sparseBytes: number;
}

const UINT16_MAX = 0xffff;
const UINT32_MAX = 0xffff_ffff;

export function toFileInode(number: number, mode: number, data: StoredData): Buffer {
  const isBig = data.start > UINT32_MAX || data.bytes > UINT32_MAX || data.sparseBytes > 0;
  const listAt = isBig ? 56 : 32;
  const inode = record(listAt + 4 * data.blocks.length, isBig ? InodeType.bigFile : InodeType.file, mode, number);
  if (isBig) {
    inode.writeBigUInt64LE(BigInt(data.start), 16);
    inode.writeBigUInt64LE(BigInt(data.bytes), 24);
    inode.writeBigUInt64LE(BigInt(data.sparseBytes), 32);
    inode.writeUInt32LE(1, 40); // links
    inode.writeUInt32LE(NO_INDEX, 44); // fragment
    inode.writeUInt32LE(NO_INDEX, 52); // extended attributes
  } else {
    inode.writeUInt32LE(data.start, 16);
    inode.writeUInt32LE(NO_INDEX, 20); // fragment
    inode.writeUInt32LE(data.bytes, 28);
  }
  for (const [index, word] of data.blocks.entries()) inode.writeUInt32LE(word, listAt + 4 * index);
  return inode;
}

export function toSymlinkInode(number: number, target: string): Buffer {
  const bytes = Buffer.from(target);
  const inode = record(24 + bytes.byteLength, InodeType.symlink, 0o777, number);
  inode.writeUInt32LE(1, 16); // links
  inode.writeUInt32LE(bytes.byteLength, 20);
  bytes.copy(inode, 24);
  return inode;
}

export interface DirectoryFacts {
  readonly listing: WrittenListing;
  readonly subdirectories: number;
  readonly parentNumber: number;
}

/** The big form carries an index, without which the kernel reads a listing from its start for every name. */
export function toDirectoryInode(number: number, mode: number, facts: DirectoryFacts): Buffer {
  const { position, bytes: listingBytes, index } = facts.listing;
  const bytes = listingBytes + LISTING_EXTRA_BYTES;
  const links = facts.subdirectories + 2;
  if (bytes > UINT16_MAX || index.length > 0) {
    const kept = index.slice(0, UINT16_MAX);
    const inode = record(40, InodeType.bigDirectory, mode, number);
    inode.writeUInt32LE(links, 16);
    inode.writeUInt32LE(bytes, 20);
    inode.writeUInt32LE(position.block, 24);
    inode.writeUInt32LE(facts.parentNumber, 28);
    inode.writeUInt16LE(kept.length, 32);
    inode.writeUInt16LE(position.offset, 34);
    inode.writeUInt32LE(NO_INDEX, 36); // extended attributes
    return Buffer.concat([inode, ...kept.map(toIndexRecord)]);
  }
  const inode = record(32, InodeType.directory, mode, number);
  inode.writeUInt32LE(position.block, 16);
  inode.writeUInt32LE(links, 20);
  inode.writeUInt16LE(bytes, 24);
  inode.writeUInt16LE(position.offset, 26);
  inode.writeUInt32LE(facts.parentNumber, 28);
  return inode;
}

function toIndexRecord({ at, block, firstName }: IndexEntry): Buffer {
  const entry = Buffer.alloc(12 + firstName.byteLength);
  entry.writeUInt32LE(at, 0);
  entry.writeUInt32LE(block, 4);
  entry.writeUInt32LE(firstName.byteLength - 1, 8);
  firstName.copy(entry, 12);
  return entry;
}

function record(bytes: number, type: number, mode: number, number: number): Buffer {
  const inode = Buffer.alloc(bytes);
  inode.writeUInt16LE(type, 0);
  inode.writeUInt16LE(mode, 2);
  inode.writeUInt32LE(number, 12);
  return inode;
}
