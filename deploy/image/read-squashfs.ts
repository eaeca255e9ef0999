/**
 * Reads the images that squashfs.ts writes; images are hostile input until checked here. Left out, and refused when
 * met: fragments, compressors other than gzip and zstd, devices, sockets. Owners, times and extended attributes are not looked at.
 */
import { open, type FileHandle } from "node:fs/promises";

import { CodedError } from "../../src/domain/errors.ts";
import { decompress, loadCompressor } from "./compress.ts";
import { invalidImage } from "./invalid-image.ts";
import { MetadataTable, TABLE_BYTES_MAX } from "./metadata-reader.ts";
import { BLOCK_PLAIN, InodeType, LISTING_EXTRA_BYTES, NO_INDEX } from "./squashfs-format.ts";
import { readSuperblock, SUPERBLOCK_BYTES, type Superblock } from "./superblock.ts";

interface EntryBase {
  /** Below the root, without a leading slash; names are text without slashes, "." and "..". */
  readonly path: string;
  readonly mode: number;
}
interface DirectoryEntry extends EntryBase {
  readonly kind: "directory";
}
export interface SymlinkEntry extends EntryBase {
  readonly kind: "symlink";
  readonly target: string;
}
export interface FileEntry extends EntryBase {
  readonly kind: "file";
  readonly bytes: number;
  /** Offset of the first stored block. */
  readonly start: number;
  readonly blocks: readonly number[];
}
export type ImageEntry = DirectoryEntry | SymlinkEntry | FileEntry;

/** Linux refuses longer link targets and paths. */
const TARGET_BYTES_MAX = 4095;
const PATH_CHARACTERS_MAX = 4095;

export class SquashfsReader {
  readonly superblock: Superblock;
  readonly #handle: FileHandle;
  readonly #inodes: MetadataTable;
  readonly #listings: MetadataTable;

  private constructor(handle: FileHandle, superblock: Superblock, inodes: MetadataTable, listings: MetadataTable) {
    this.#handle = handle;
    this.superblock = superblock;
    this.#inodes = inodes;
    this.#listings = listings;
  }

  /** Errors: `image_not_squashfs`, `image_invalid`, and those of the operating system. Dispose with `close`. */
  static async open(path: string): Promise<SquashfsReader> {
    const handle = await open(path, "r");
    try {
      const { size } = await handle.stat();
      const head = await readExactly(handle, 0, Math.min(size, SUPERBLOCK_BYTES));
      const superblock = readSuperblock(head, size);
      const { compression, inodeTableAt, directoryTableAt, idTableAt } = superblock;
      await loadCompressor(compression);
      const listingsEnd = Number((await readExactly(handle, idTableAt, 8)).readBigUInt64LE());
      if (listingsEnd < directoryTableAt || listingsEnd > idTableAt) invalidImage("the id table lies elsewhere");
      if (listingsEnd - inodeTableAt > TABLE_BYTES_MAX) invalidImage("its tables are too big");
      const inodeTable = await readExactly(handle, inodeTableAt, directoryTableAt - inodeTableAt);
      const listings = await readExactly(handle, directoryTableAt, listingsEnd - directoryTableAt);
      return new SquashfsReader(
        handle,
        superblock,
        new MetadataTable(inodeTable, compression),
        new MetadataTable(listings, compression),
      );
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  /** The root (path "") first, then each directory before what it holds. Errors: `image_invalid`. */
  *entries(): Generator<ImageEntry> {
    // Every inode and listing is used once in an honest image. So reading more than the tables hold means that parts
    // are shared or that a directory contains itself, and bounds all work by the size of the tables.
    let inodeBytesLeft = this.#inodes.byteLength;
    let listingBytesLeft = this.#listings.byteLength;
    const pending = [{ path: "", reference: this.superblock.rootInode }];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const { entry, listing } = this.#readInode(next.path, next.reference);
      inodeBytesLeft -= inodeBytes(entry);
      listingBytesLeft -= (listing?.bytes ?? LISTING_EXTRA_BYTES) - LISTING_EXTRA_BYTES;
      if (inodeBytesLeft < 0 || listingBytesLeft < 0) invalidImage("an entry occurs twice or contains itself");
      if (next.path === "" && listing === undefined) invalidImage("its root is no directory");
      yield entry;
      if (listing === undefined) continue;
      for (const name of this.#readListing(next.path, listing).toReversed()) pending.push(name);
    }
  }

  /** A file's bytes, a block at a time. Errors: `image_invalid`. */
  async *readFile(file: FileEntry): AsyncGenerator<Buffer> {
    const { blockBytes, compression } = this.superblock;
    let at = file.start;
    let left = file.bytes;
    for (const word of file.blocks) {
      const expected = Math.min(blockBytes, left);
      const stored = storedBytes(word);
      left -= expected;
      if (stored === 0) yield Buffer.alloc(expected);
      else {
        const data = await readExactly(this.#handle, at, stored);
        const block = isPlain(word) ? data : decompress(compression, data, blockBytes);
        if (block.byteLength !== expected) invalidImage(`a block of "${file.path}" has ${block.byteLength} bytes`);
        yield block;
      }
      at += stored;
    }
  }

  #readInode(path: string, reference: number): { entry: ImageEntry; listing?: Listing } {
    const block = Math.floor(reference / 0x1_0000);
    const offset = reference % 0x1_0000;
    const inode = (bytes: number) => this.#inodes.read(block, offset, bytes);
    const type = inode(16).readUInt16LE(0);
    const mode = inode(16).readUInt16LE(2) & 0o7777;
    switch (type) {
      case InodeType.directory: {
        const bytes = inode(32);
        const listing = {
          block: bytes.readUInt32LE(16),
          bytes: bytes.readUInt16LE(24),
          offset: bytes.readUInt16LE(26),
        };
        return { entry: { path, mode, kind: "directory" }, listing };
      }
      case InodeType.bigDirectory: {
        const bytes = inode(40);
        const listing = {
          block: bytes.readUInt32LE(24),
          bytes: bytes.readUInt32LE(20),
          offset: bytes.readUInt16LE(34),
        };
        return { entry: { path, mode, kind: "directory" }, listing };
      }
      case InodeType.symlink:
      case InodeType.bigSymlink: {
        const bytes = inode(24).readUInt32LE(20);
        if (bytes === 0 || bytes > TARGET_BYTES_MAX) invalidImage(`link "${path}" has a target of ${bytes} bytes`);
        return { entry: { path, mode, kind: "symlink", target: toText(inode(24 + bytes).subarray(24)) } };
      }
      case InodeType.file: {
        const bytes = inode(32);
        return {
          entry: this.#readFileInode(path, mode, inode, 32, bytes.readUInt32LE(16), bytes.readUInt32LE(28), 20),
        };
      }
      case InodeType.bigFile: {
        const bytes = inode(56);
        const start = Number(bytes.readBigUInt64LE(16));
        return { entry: this.#readFileInode(path, mode, inode, 56, start, Number(bytes.readBigUInt64LE(24)), 44) };
      }
      default:
        return invalidImage(`"${path}" has inode type ${type}, which is not read here`);
    }
  }

  #readFileInode(
    path: string,
    mode: number,
    inode: (bytes: number) => Buffer,
    listAt: number,
    start: number,
    bytes: number,
    fragmentAt: number,
  ): FileEntry {
    if (inode(listAt).readUInt32LE(fragmentAt) !== NO_INDEX) invalidImage(`"${path}" ends in a fragment`);
    const count = Math.ceil(bytes / this.superblock.blockBytes);
    if (count > TABLE_BYTES_MAX / 4) invalidImage(`"${path}" has ${bytes} bytes`);
    const words = inode(listAt + 4 * count);
    const blocks = Array.from({ length: count }, (_, index) => words.readUInt32LE(listAt + 4 * index));
    let end = start;
    for (const word of blocks) {
      if (storedBytes(word) > this.superblock.blockBytes) invalidImage(`a block of "${path}" is too big`);
      end += storedBytes(word);
    }
    if (end > start && (start < SUPERBLOCK_BYTES || end > this.superblock.inodeTableAt)) {
      invalidImage(`the data of "${path}" lie outside of the image's data`);
    }
    return { path, mode, kind: "file", bytes, start, blocks };
  }

  #readListing(directory: string, { block, offset, bytes }: Listing): { path: string; reference: number }[] {
    if (bytes < LISTING_EXTRA_BYTES) invalidImage(`the listing of "${directory}" has ${bytes} bytes`);
    if (bytes === LISTING_EXTRA_BYTES) return [];
    const listing = this.#listings.read(block, offset, bytes - LISTING_EXTRA_BYTES);
    const found: { path: string; reference: number }[] = [];
    let previous: Buffer = Buffer.alloc(0);
    for (let at = 0; at < listing.byteLength;) {
      if (at + 12 > listing.byteLength) invalidImage(`the listing of "${directory}" is cut off`);
      const count = listing.readUInt32LE(at) + 1;
      const inodeBlock = listing.readUInt32LE(at + 4);
      at += 12;
      for (let index = 0; index < count; index += 1) {
        const nameBytes = at + 8 > listing.byteLength ? Infinity : listing.readUInt16LE(at + 6) + 1;
        if (at + 8 + nameBytes > listing.byteLength) invalidImage(`the listing of "${directory}" is cut off`);
        const name = listing.subarray(at + 8, at + 8 + nameBytes);
        // Strictly ascending names also exclude that one occurs twice.
        if (Buffer.compare(previous, name) >= 0) invalidImage(`the listing of "${directory}" is not sorted`);
        found.push({ path: joinPath(directory, name), reference: inodeBlock * 0x1_0000 + listing.readUInt16LE(at) });
        previous = name;
        at += 8 + nameBytes;
      }
    }
    return found;
  }
}

interface Listing {
  readonly block: number;
  readonly offset: number;
  readonly bytes: number;
}

/** The least that an entry takes in the inode table. */
function inodeBytes(entry: ImageEntry): number {
  if (entry.kind === "directory") return 32;
  return entry.kind === "file" ? 32 + 4 * entry.blocks.length : 24 + Buffer.byteLength(entry.target);
}

function joinPath(directory: string, bytes: Buffer): string {
  const name = toText(bytes);
  if (name === "." || name === ".." || name.includes("/")) invalidImage(`it has a file named "${name}"`);
  const path = directory === "" ? name : `${directory}/${name}`;
  if (path.length > PATH_CHARACTERS_MAX) invalidImage("it has a path that is too long");
  return path;
}

function toText(bytes: Buffer): string {
  const text = bytes.toString();
  if (text.includes("\0") || !Buffer.from(text).equals(bytes)) invalidImage("it has a name that is not UTF-8 text");
  return text;
}

function storedBytes(word: number): number {
  return isPlain(word) ? word - BLOCK_PLAIN : word;
}

function isPlain(word: number): boolean {
  return (word & BLOCK_PLAIN) !== 0;
}

async function readExactly(handle: FileHandle, at: number, bytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes);
  for (let done = 0; done < bytes;) {
    const { bytesRead } = await handle.read(buffer, done, bytes - done, at + done);
    if (bytesRead === 0) throw new CodedError("image_invalid", `the image is truncated: it ends at ${at + done}`);
    done += bytesRead;
  }
  return buffer;
}
