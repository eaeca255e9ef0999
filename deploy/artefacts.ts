import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { parseFileHash, parseItemHash, parseSha256, type ItemHash } from "../src/domain/hash.ts";
import type { BuiltImage, PinnedImage } from "../src/domain/volume.ts";
import { writeFileAtomically } from "./files/write-file-atomically.ts";

/** Increase when the meaning of keys or entries changes; older files are then rebuilt. */
const VERSION = 1;

/** What was built, pinned and published before, so that a second run does not repeat it. A cache: safe to delete. */
export interface ArtefactIndex {
  image(key: string): PinnedImage | undefined;
  recordImage(key: string, image: PinnedImage): Promise<void>;
  /** What an image was found to be when it was built, wherever it went then. */
  built(key: string): BuiltFacts | undefined;
  recordBuilt(key: string, facts: BuiltFacts): Promise<void>;
  program(key: string): ItemHash | undefined;
  recordProgram(key: string, itemHash: ItemHash): Promise<void>;
}

/** The bytes themselves are not kept. */
export type BuiltFacts = Pick<BuiltImage, "sha256" | "bytes" | "cid">;

interface Content {
  readonly built: Map<string, BuiltFacts>;
  readonly images: Map<string, PinnedImage>;
  readonly programs: Map<string, ItemHash>;
}

/**
 * Reads `artefacts.json`. A file that is damaged, or of another version, counts as empty and is told to `onDamage`.
 * The lock of the data directory must be held: the last writer wins.
 */
export async function openArtefactIndex(
  directory: string,
  onDamage: (message: string) => void,
): Promise<ArtefactIndex> {
  const path = join(directory, "artefacts.json");
  const content = await readContent(path, onDamage);
  return {
    image: (key) => content.images.get(key),
    async recordImage(key, image) {
      content.images.set(key, image);
      await writeContent(path, content);
    },
    built: (key) => content.built.get(key),
    async recordBuilt(key, { sha256, bytes, cid }) {
      content.built.set(key, { sha256, bytes, cid });
      await writeContent(path, content);
    },
    program: (key) => content.programs.get(key),
    async recordProgram(key, itemHash) {
      content.programs.set(key, itemHash);
      await writeContent(path, content);
    },
  };
}

async function readContent(path: string, onDamage: (message: string) => void): Promise<Content> {
  try {
    return parseContent(await readFile(path, "utf8"));
  } catch (error) {
    const isNew = (error as NodeJS.ErrnoException).code === "ENOENT";
    if (!isNew) onDamage(`${path} cannot be read and is made anew: ${(error as Error).message}`);
    return { built: new Map(), images: new Map(), programs: new Map() };
  }
}

function parseContent(text: string): Content {
  const root = JSON.parse(text) as { version?: unknown; built?: unknown; images?: unknown; programs?: unknown };
  if (root.version !== VERSION) throw new Error(`version ${String(root.version)} instead of ${VERSION}`);
  return {
    built: new Map(entriesOf(root.built ?? {}).map(([key, value]) => [key, parseBuilt(value)])),
    images: new Map(entriesOf(root.images).map(([key, value]) => [key, parseImage(value)])),
    programs: new Map(entriesOf(root.programs).map(([key, value]) => [key, parseItemHash(String(value))])),
  };
}

function entriesOf(value: unknown): readonly (readonly [string, unknown])[] {
  if (typeof value !== "object" || value === null) throw new Error("a table is missing");
  return Object.entries(value);
}

function parseImage(value: unknown): PinnedImage {
  const { sha256, bytes, fileHash, itemHash } = value as Record<string, unknown>;
  if (!Number.isSafeInteger(bytes)) throw new Error("an image without its size");
  return {
    sha256: parseSha256(String(sha256)),
    bytes: bytes as number,
    fileHash: parseFileHash(String(fileHash)),
    itemHash: parseItemHash(String(itemHash)),
  };
}

function parseBuilt(value: unknown): BuiltFacts {
  const { sha256, bytes, cid } = value as Record<string, unknown>;
  if (!Number.isSafeInteger(bytes)) throw new Error("an image without its size");
  return { sha256: parseSha256(String(sha256)), bytes: bytes as number, cid: parseFileHash(String(cid)) };
}

async function writeContent(path: string, { built, images, programs }: Content): Promise<void> {
  const root = {
    version: VERSION,
    built: Object.fromEntries(built),
    images: Object.fromEntries(images),
    programs: Object.fromEntries(programs),
  };
  await writeFileAtomically(path, `${JSON.stringify(root, undefined, 2)}\n`);
}

/** A short name for anything made of JSON: equal values, whatever their members' order, have equal keys. */
export function keyOf(kind: string, value: unknown): string {
  return `${kind}:${createHash("sha256").update(canonicalJson(value)).digest("hex")}`;
}

function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, member: unknown) =>
    typeof member === "object" && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}
