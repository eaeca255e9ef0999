/** From the plan and the place of each file's data to everything else in the image. Pure. */
import type { Compression } from "./compress.ts";
import { appendListing, type ListedName } from "./directory-listing.ts";
import { toDirectoryInode, toFileInode, toSymlinkInode, type StoredData } from "./inodes.ts";
import { MetadataWriter, type MetadataPosition } from "./metadata-writer.ts";
import { DIRECTORY_MODE, isData, type ImagePlan, type PlanEntry } from "./plan.ts";
import { InodeType } from "./squashfs-format.ts";
import { toSuperblock } from "./superblock.ts";

export interface ImageTables {
  readonly superblock: Buffer;
  /** All that follows the data, without the padding. */
  readonly tail: Buffer;
}

interface Node {
  readonly entry: PlanEntry | undefined;
  readonly number: number;
  readonly parent: Node | undefined;
  readonly children: Node[];
}

interface TableOptions {
  readonly compression: Compression;
  readonly blockBytes: number;
  /** Where the data end and the tables begin. */
  readonly dataEnd: number;
}

/** `stored` has one item for each file of the plan, in the plan's order. */
export function buildTables(plan: ImagePlan, stored: readonly StoredData[], options: TableOptions): ImageTables {
  const { compression, blockBytes, dataEnd } = options;
  const nodes = toTree(plan);
  const dataOf = new Map(nodes.filter(isFile).map((node, index) => [node, stored[index] as StoredData]));
  const inodes = new MetadataWriter(compression);
  const listings = new MetadataWriter(compression);
  const positions = new Map<Node, MetadataPosition>();

  // From the last directory to the root, so that what a listing refers to is always written already.
  for (const directory of nodes.filter(isDirectory).toReversed()) {
    for (const child of directory.children) {
      const content = child.entry?.content;
      if (content === undefined || content.kind === "directory") continue;
      const inode =
        content.kind === "symlink"
          ? toSymlinkInode(child.number, content.target)
          : toFileInode(child.number, child.entry?.mode ?? 0, dataOf.get(child) as StoredData);
      positions.set(child, inodes.append(inode));
    }
    const inode = toDirectoryInode(directory.number, directory.entry?.mode ?? DIRECTORY_MODE, {
      listing: appendListing(
        directory.children.map((child) => toListed(child, positions)),
        listings,
      ),
      subdirectories: directory.children.filter(isDirectory).length,
      parentNumber: directory.parent?.number ?? nodes.length + 1,
    });
    positions.set(directory, inodes.append(inode));
  }

  const root = positions.get(nodes[0] as Node) as MetadataPosition;
  const inodeTable = inodes.finish();
  const directoryTable = listings.finish();
  const directoryTableAt = dataEnd + inodeTable.byteLength;
  const idBlockAt = directoryTableAt + directoryTable.byteLength;
  const idTable = toIdTable(idBlockAt, compression);
  return {
    superblock: toSuperblock({
      compression,
      inodeCount: nodes.length,
      blockBytes,
      rootInode: root.block * 0x1_0000 + root.offset,
      usedBytes: idBlockAt + idTable.byteLength,
      idTableAt: idBlockAt + idTable.byteLength - 8,
      inodeTableAt: dataEnd,
      directoryTableAt,
    }),
    tail: Buffer.concat([inodeTable, directoryTable, idTable]),
  };
}

/** The plan's order is already that of a walk in which parents come first; inodes are numbered in it, the root is 1. */
function toTree(plan: ImagePlan): Node[] {
  const root: Node = { entry: undefined, number: 1, parent: undefined, children: [] };
  const byPath = new Map([["", root]]);
  for (const entry of plan.entries) {
    const parent = byPath.get(entry.path.slice(0, Math.max(0, entry.path.lastIndexOf("/")))) as Node;
    const node: Node = { entry, number: byPath.size + 1, parent, children: [] };
    parent.children.push(node);
    byPath.set(entry.path, node);
  }
  return [...byPath.values()];
}

function toListed(node: Node, positions: ReadonlyMap<Node, MetadataPosition>): ListedName {
  const path = node.entry?.path ?? "";
  return {
    name: Buffer.from(path.slice(path.lastIndexOf("/") + 1)),
    type: isDirectory(node) ? InodeType.directory : isFile(node) ? InodeType.file : InodeType.symlink,
    inodeNumber: node.number,
    inode: positions.get(node) as MetadataPosition,
  };
}

/** One id, 0, in a metadata block; then the offset of that block. */
function toIdTable(at: number, compression: Compression): Buffer {
  const writer = new MetadataWriter(compression);
  writer.append(Buffer.alloc(4));
  const pointer = Buffer.alloc(8);
  pointer.writeBigUInt64LE(BigInt(at));
  return Buffer.concat([writer.finish(), pointer]);
}

function isDirectory({ entry }: Node): boolean {
  return entry === undefined || entry.content.kind === "directory";
}

function isFile({ entry }: Node): boolean {
  return entry !== undefined && isData(entry.content);
}
