import { chmod, lstat, mkdir, mkdtemp, open, readlink, rename, rm, symlink, utimes } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

import { throwIfAborted } from "./image-hash.ts";
import { invalidImage } from "./invalid-image.ts";
import { explained } from "./part-file.ts";
import { SquashfsReader, type FileEntry, type ImageEntry, type SymlinkEntry } from "./read-squashfs.ts";

export interface ExtractOptions {
  readonly signal?: AbortSignal;
  /** Images whose files add up to more are refused: a few bytes can describe terabytes of zeros. Default: 64 GiB. */
  readonly maximumBytes?: number;
}

/**
 * When everything extracted says that it was written. Whatever changes a file or a directory by hand changes this, so
 * a look at sizes and times tells what reading gigabytes would. Even seconds: not every file system keeps odd ones.
 */
const WRITTEN_AT = new Date("2020-01-01T00:00:00Z");

/**
 * Puts the image's tree at `directory`, which must not exist yet or be empty. It is built beside it and renamed, so
 * it is there whole or not at all. Nothing is written outside of it whatever the image says: names are checked, links
 * come last, and a link that leads out is refused. Permissions are kept, without the set-user-id bits.
 * Errors: `image_not_squashfs`, `image_invalid`, `disk_full`, `data_directory`, `interrupted`.
 */
export async function extractSquashfs(
  imagePath: string,
  directory: string,
  { signal, maximumBytes = 64 * 2 ** 30 }: ExtractOptions = {},
): Promise<void> {
  const image = await SquashfsReader.open(imagePath);
  let temporary: string | undefined;
  try {
    const entries = checkEntries([...image.entries()], maximumBytes);
    temporary = await explained(directory, () => mkdtemp(join(dirname(directory), `.${basename(directory)}.part-`)));
    await writeTree(image, entries, temporary, signal);
    const complete = temporary;
    await explained(directory, () => rename(complete, directory));
    temporary = undefined;
  } finally {
    await image.close();
    if (temporary !== undefined) await removeTree(temporary);
  }
}

async function writeTree(
  image: SquashfsReader,
  entries: readonly ImageEntry[],
  root: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (const entry of entries) {
    throwIfAborted(signal);
    const path = join(root, entry.path);
    if (entry.kind === "directory" && entry.path !== "") await explained(path, () => mkdir(path, { mode: 0o700 }));
    if (entry.kind === "file") await explained(path, () => writeFile(image, entry, path, signal));
  }
  for (const entry of entries.filter(isLink)) {
    await explained(root, () => symlink(entry.target, join(root, entry.path)));
  }
  // From the inside out: a directory may take away its owner's own right to write.
  for (const { kind, path, mode } of entries.toReversed()) {
    if (kind !== "directory") continue;
    await utimes(join(root, path), WRITTEN_AT, WRITTEN_AT);
    await chmod(join(root, path), mode & 0o777);
  }
}

/**
 * Whether `directory` still is what `extractSquashfs` made of the image: the same names, kinds and sizes, and nothing
 * written since. Contents are not read. Errors: `image_not_squashfs`, `image_invalid`.
 */
export async function isExtracted(imagePath: string, directory: string): Promise<boolean> {
  const image = await SquashfsReader.open(imagePath);
  try {
    const found = await Promise.all([...image.entries()].map((entry) => isUnchanged(entry, directory)));
    return !found.includes(false);
  } finally {
    await image.close();
  }
}

async function isUnchanged(entry: ImageEntry, root: string): Promise<boolean> {
  const path = join(root, entry.path);
  const stats = await lstat(path).catch(() => undefined);
  if (stats === undefined) return false;
  if (entry.kind === "symlink") return stats.isSymbolicLink() && (await readlink(path)) === entry.target;
  if (stats.mtimeMs !== WRITTEN_AT.getTime()) return false;
  return entry.kind === "directory" ? stats.isDirectory() : stats.isFile() && stats.size === entry.bytes;
}

async function writeFile(
  image: SquashfsReader,
  file: FileEntry,
  path: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const handle = await open(path, "wx", 0o600);
  try {
    for await (const block of image.readFile(file)) {
      throwIfAborted(signal);
      await handle.writeFile(block);
    }
    await handle.utimes(WRITTEN_AT, WRITTEN_AT);
    await handle.chmod(file.mode & 0o777);
  } finally {
    await handle.close();
  }
}

function checkEntries(entries: readonly ImageEntry[], maximumBytes: number): readonly ImageEntry[] {
  let bytes = 0;
  for (const entry of entries) {
    if (entry.kind === "file") bytes += entry.bytes;
    if (entry.kind === "symlink") checkLink(entry);
  }
  if (bytes > maximumBytes) invalidImage(`its files have ${bytes} bytes, more than the ${maximumBytes} allowed`);
  return entries;
}

/**
 * A target is some ".." parts, fewer than the link is deep, then names. Were ".." allowed after a name, two harmless
 * links could lead out together: the name may itself be a link to somewhere higher.
 */
function checkLink({ path, target }: SymlinkEntry): void {
  const parts = target.split("/");
  const names = parts.findIndex((part) => part !== "..");
  const ups = names === -1 ? parts.length : names;
  if (target.startsWith("/") || parts.slice(ups).includes("..") || ups > path.split("/").length - 1) {
    invalidImage(`link "${path}" leads out of the image, to "${target}"`);
  }
}

function isLink(entry: ImageEntry): entry is SymlinkEntry {
  return entry.kind === "symlink";
}

/** What was written has mode 0700 unless the last step failed halfway; then directories may refuse to be emptied. */
async function removeTree(path: string): Promise<void> {
  await chmod(path, 0o700).catch(() => undefined);
  await rm(path, { recursive: true, force: true });
}
