import { join } from "node:path";
import { readdir, readFile } from "node:fs/promises";

import { CodedError } from "../../src/domain/errors.ts";
import type { LockedNpmPackage } from "./locked-package.ts";
import { integrityOf, type PackageCache } from "./package-cache.ts";
import { runClient } from "./run-client.ts";

/**
 * The package's archive: from the cache, or downloaded into it by `npm pack`, which runs nothing of it.
 * Errors: `not_supported` without npm; `download_failed` with what npm said; `hash_mismatch`; `interrupted`.
 */
export async function fetchNpmPackage(
  { name, version, integrity }: LockedNpmPackage,
  cache: PackageCache,
  signal?: AbortSignal,
): Promise<Buffer> {
  const cached = await cache.readNpm(integrity);
  if (cached !== undefined) return cached;
  return await cache.withTemporary(async (directory) => {
    const args = ["pack", `${name}@${version}`, "--ignore-scripts", "--silent"];
    const { status, stderr } = await runClient("npm", args, { cwd: directory, signal });
    const [file] = (await readdir(directory)).filter((entry) => entry.endsWith(".tgz"));
    if (status !== 0 || file === undefined) {
      throw new CodedError("download_failed", `npm pack ${name}@${version} failed: ${stderr.trim().slice(-1000)}`);
    }
    const content = await readFile(join(directory, file));
    if (integrityOf(content) !== integrity) {
      throw new CodedError("hash_mismatch", `package ${name}@${version} does not have the locked hash ${integrity}`);
    }
    await cache.keep(join(directory, file), cache.npmPath(integrity));
    return content;
  });
}
