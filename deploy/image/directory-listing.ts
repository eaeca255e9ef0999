import { HEADER_ENTRIES_MAX } from "./squashfs-format.ts";
import type { MetadataPosition, MetadataWriter } from "./metadata-writer.ts";

export interface ListedName {
  readonly name: Buffer;
  /** The basic form's type, also for big inodes. */
  readonly type: number;
  readonly inodeNumber: number;
  readonly inode: MetadataPosition;
}

const HEADER_BYTES = 12;
const ENTRY_BYTES = 8;
const DELTA_MAX = 0x7fff;
const DELTA_MIN = -0x8000;

/** Where to begin reading for names from `firstName` on. */
export interface IndexEntry {
  /** Offset in the listing. */
  readonly at: number;
  /** Offset of the metadata block in the directory table. */
  readonly block: number;
  readonly firstName: Buffer;
}

export interface WrittenListing {
  readonly position: MetadataPosition;
  readonly bytes: number;
  /** One for each metadata block after the first in which a header starts. */
  readonly index: readonly IndexEntry[];
}

/** Names must come sorted. A header covers names whose inodes share a metadata block and have near numbers. */
export function appendListing(names: readonly ListedName[], table: MetadataWriter): WrittenListing {
  const { position } = table;
  const index: IndexEntry[] = [];
  let bytes = 0;
  let indexedBlock = position.block;
  for (const run of toRuns(names)) {
    const record = Buffer.concat([toHeader(run), ...run.map((name) => toEntry(name, first(run)))]);
    const { block } = table.append(record);
    if (block !== indexedBlock) index.push({ at: bytes, block, firstName: first(run).name });
    indexedBlock = block;
    bytes += record.byteLength;
  }
  return { position, bytes, index };
}

function toRuns(names: readonly ListedName[]): ListedName[][] {
  const runs: ListedName[][] = [];
  for (const name of names) {
    const run = runs.at(-1);
    if (run !== undefined && fits(run, name)) run.push(name);
    else runs.push([name]);
  }
  return runs;
}

function fits(run: readonly ListedName[], name: ListedName): boolean {
  const head = first(run);
  const delta = name.inodeNumber - head.inodeNumber;
  return (
    run.length < HEADER_ENTRIES_MAX && name.inode.block === head.inode.block && delta >= DELTA_MIN && delta <= DELTA_MAX
  );
}

function toHeader(run: readonly ListedName[]): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(run.length - 1, 0);
  header.writeUInt32LE(first(run).inode.block, 4);
  header.writeUInt32LE(first(run).inodeNumber, 8);
  return header;
}

function toEntry({ name, type, inodeNumber, inode }: ListedName, head: ListedName): Buffer {
  const entry = Buffer.alloc(ENTRY_BYTES + name.byteLength);
  entry.writeUInt16LE(inode.offset, 0);
  entry.writeInt16LE(inodeNumber - head.inodeNumber, 2);
  entry.writeUInt16LE(type, 4);
  entry.writeUInt16LE(name.byteLength - 1, 6);
  name.copy(entry, ENTRY_BYTES);
  return entry;
}

function first(run: readonly ListedName[]): ListedName {
  return run[0] as ListedName;
}
