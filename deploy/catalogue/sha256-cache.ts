/**
 * Remembers hashes of large files: sha256-cache.json maps a path to what the file was recognised by, and its hash.
 * It only saves time, so a cache that cannot be read or written is none.
 */
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import * as z from "zod";

import { parseSha256, type Sha256 } from "../../src/domain/hash.ts";
import { writeFileAtomically } from "../files/write-file-atomically.ts";

/** What a file is recognised by: its size, its time of change and its inode. */
export interface FileIdentity {
  readonly key: string;
  readonly bytes: number;
}

/** The oldest are dropped beyond this. */
const MAX_ENTRIES = 500;

const cacheFile = z.record(z.string(), z.object({ key: z.string(), sha256: z.string().regex(/^[0-9a-f]{64}$/) }));

export async function readSha256Cache(
  directory: string,
  path: string,
  identity: FileIdentity,
): Promise<Sha256 | undefined> {
  const entry = (await readAll(directory)).get(resolve(path));
  return entry?.key === identity.key ? parseSha256(entry.sha256) : undefined;
}

/** Two processes may write at once: one of the hashes is then forgotten, and computed again when it is asked for. */
export async function writeSha256Cache(
  directory: string,
  path: string,
  identity: FileIdentity,
  sha256: Sha256,
): Promise<void> {
  const entries = await readAll(directory);
  entries.delete(resolve(path));
  entries.set(resolve(path), { key: identity.key, sha256 });
  const kept = [...entries].slice(-MAX_ENTRIES);
  try {
    await writeFileAtomically(cachePath(directory), `${JSON.stringify(Object.fromEntries(kept), undefined, 2)}\n`);
  } catch {
    // A full disk or a read-only directory: the hash itself is right.
  }
}

async function readAll(directory: string): Promise<Map<string, { key: string; sha256: string }>> {
  try {
    return new Map(Object.entries(cacheFile.parse(JSON.parse(await readFile(cachePath(directory), "utf8")))));
  } catch {
    return new Map();
  }
}

function cachePath(directory: string): string {
  return join(directory, "sha256-cache.json");
}
