/**
 * What an image will hold, decided before a byte is written. A plan is pure data: two equal plans give equal images
 * whatever the machine, its locale, its clock or the order in which its files were created. Every entry belongs to
 * user 0 and group 0 and has time 0, so neither is part of a plan.
 */
import { CodedError } from "../../src/domain/errors.ts";

export type PlanContent =
  /** A file on this machine that must have exactly this size when it is read. */
  | { readonly kind: "file"; readonly sourcePath: string; readonly bytes: number }
  /** Given bytes, and behind them a part of such a file. */
  | PlanRange
  | { readonly kind: "bytes"; readonly content: Uint8Array }
  | { readonly kind: "symlink"; readonly target: string }
  | { readonly kind: "directory" };

export interface PlanRange {
  readonly kind: "range";
  readonly head: Uint8Array;
  readonly sourcePath: string;
  readonly sourceBytes: number;
  /** Where the part lies in the source. */
  readonly from: number;
  readonly length: number;
}

export interface PlanEntry {
  /** Below the image's root, without a leading slash: `src/main.js`. */
  readonly path: string;
  /** Permission bits, as 0o644. Symlinks always get 0o777. */
  readonly mode: number;
  readonly content: PlanContent;
}

export interface ImagePlan {
  /** Each directory comes before what it holds; names within it in the order of their UTF-8 bytes. The root is not listed. */
  readonly entries: readonly PlanEntry[];
  /** Sum of the sizes of all files. */
  readonly dataBytes: number;
}

export const DIRECTORY_MODE = 0o755;
export const FILE_MODE = 0o644;
export const EXECUTABLE_MODE = 0o755;

/** squashfs keeps the length minus one of a name in a word whose readers accept no more than this. */
const NAME_BYTES_MAX = 256;
/** Linux refuses a link that does not fit in one page with its terminating zero. */
const TARGET_BYTES_MAX = 4095;
/** Longer paths cannot be opened by their name on Linux. */
const PATH_BYTES_MAX = 4095;

/**
 * Sorts the entries, adds the directories they lie in, and refuses what cannot be represented.
 * Errors: `image_plan_invalid`.
 */
export function planImage(entries: readonly PlanEntry[]): ImagePlan {
  const byPath = new Map<string, PlanEntry>();
  for (const entry of entries) {
    checkEntry(entry);
    if (byPath.has(entry.path)) refuse(entry.path, "is planned twice");
    byPath.set(entry.path, entry.content.kind === "symlink" ? { ...entry, mode: 0o777 } : entry);
  }
  for (const { path } of entries) addParents(path, byPath);
  const sorted = [...byPath.values()]
    .map((entry) => ({ entry, key: sortKey(entry.path) }))
    .sort((a, b) => Buffer.compare(a.key, b.key))
    .map(({ entry }) => entry);
  return { entries: sorted, dataBytes: sorted.reduce((sum, { content }) => sum + contentBytes(content), 0) };
}

/** What has bytes of its own: neither directory nor symlink. */
export type DataContent = PlanContent & { readonly kind: "file" | "range" | "bytes" };

export function isData(content: PlanContent): content is DataContent {
  return content.kind === "file" || content.kind === "range" || content.kind === "bytes";
}

/** Size of a file; 0 for what is not a file. */
export function contentBytes(content: PlanContent): number {
  if (content.kind === "file") return content.bytes;
  if (content.kind === "range") return content.head.byteLength + content.length;
  return content.kind === "bytes" ? content.content.byteLength : 0;
}

function addParents(path: string, byPath: Map<string, PlanEntry>): void {
  for (let slash = path.lastIndexOf("/"); slash > 0; slash = path.lastIndexOf("/", slash - 1)) {
    const parent = path.slice(0, slash);
    const known = byPath.get(parent);
    if (known === undefined) byPath.set(parent, { path: parent, mode: DIRECTORY_MODE, content: { kind: "directory" } });
    else if (known.content.kind !== "directory") refuse(path, `lies below "${parent}", which is no directory`);
  }
}

// A zero byte sorts before all others and occurs in no name, so a directory stands right before what it holds.
function sortKey(path: string): Buffer {
  return Buffer.from(path.replaceAll("/", "\0"));
}

function checkEntry({ path, mode, content }: PlanEntry): void {
  if (path === "" || path.startsWith("/")) refuse(path, "must be relative to the image's root");
  if (!isText(path)) refuse(path, "is not well-formed text without zero bytes");
  if (Buffer.byteLength(path) > PATH_BYTES_MAX) refuse(path, `is longer than ${PATH_BYTES_MAX} bytes`);
  for (const name of path.split("/")) {
    if (name === "" || name === "." || name === "..") refuse(path, `has a part "${name}"`);
    if (Buffer.byteLength(name) > NAME_BYTES_MAX) refuse(path, `has a name of more than ${NAME_BYTES_MAX} bytes`);
  }
  if (!Number.isInteger(mode) || mode < 0 || mode > 0o7777) refuse(path, `has mode ${mode}, which is not in 0…0o7777`);
  if (content.kind === "file" && !(Number.isSafeInteger(content.bytes) && content.bytes >= 0)) {
    refuse(path, `has size ${content.bytes}`);
  }
  if (content.kind === "range") {
    const { from, length, sourceBytes } = content;
    if (![from, length].every((part) => Number.isSafeInteger(part) && part >= 0) || from + length > sourceBytes) {
      refuse(path, `takes ${length} bytes at ${from} of a file of ${sourceBytes}`);
    }
  }
  if (content.kind === "symlink") {
    const bytes = Buffer.byteLength(content.target);
    if (bytes === 0 || bytes > TARGET_BYTES_MAX || !isText(content.target)) {
      refuse(path, `links to a target that is not 1…${TARGET_BYTES_MAX} bytes of text`);
    }
  }
}

/** A lone surrogate would become a replacement character in UTF-8, so two names could become one. */
function isText(text: string): boolean {
  return !text.includes("\0") && Buffer.from(text).toString() === text;
}

function refuse(path: string, why: string): never {
  throw new CodedError("image_plan_invalid", `cannot put "${path.slice(0, 300)}" into an image: it ${why}`);
}
