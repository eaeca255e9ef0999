/**
 * Packages of Debian's archive by its ordinary client, `apt-get download`: it knows the machine's sources, checks the
 * archive's signature, and needs no root. What arrives must have the locked sha256, whatever the client says.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

import { CodedError } from "../../src/domain/errors.ts";
import type { LockedDebianPackage } from "./locked-package.ts";
import { sha256Of, type PackageCache } from "./package-cache.ts";
import { runClient } from "./run-client.ts";

/**
 * The contents of the packages, in their order: from the cache, or downloaded into it.
 * Errors: `not_supported` where there is no apt-get and the cache lacks a package; `download_failed` when the
 * machine's sources do not have a version, with what to do; `hash_mismatch`; `interrupted`.
 */
export async function fetchDebianPackages(
  packages: readonly LockedDebianPackage[],
  cache: PackageCache,
  signal?: AbortSignal,
): Promise<readonly Buffer[]> {
  const missing: LockedDebianPackage[] = [];
  for (const wanted of packages) if ((await cache.readDeb(wanted.sha256)) === undefined) missing.push(wanted);
  if (missing.length > 0) await download(missing, cache, signal);
  return await Promise.all(
    packages.map(async (wanted) => (await cache.readDeb(wanted.sha256)) ?? fail(mismatch(wanted))),
  );
}

async function download(
  missing: readonly LockedDebianPackage[],
  cache: PackageCache,
  signal: AbortSignal | undefined,
): Promise<void> {
  await cache.withTemporary(async (directory) => {
    const names = missing.map(({ name, architecture, version }) => `${name}:${architecture}=${version}`);
    let said: string;
    try {
      said = (await runClient("apt-get", ["--quiet", "download", ...names], { cwd: directory, signal })).stderr;
    } catch (error) {
      throw withoutClient(error, missing, cache);
    }
    const arrived = new Map<string, string>();
    for (const file of await readdir(directory)) {
      const path = join(directory, file);
      arrived.set(sha256Of(await readFile(path)), path);
    }
    const absent = missing.filter(({ sha256 }) => !arrived.has(sha256));
    for (const { sha256 } of missing) {
      const path = arrived.get(sha256);
      if (path !== undefined) await cache.keep(path, cache.debPath(sha256));
    }
    if (absent.length === 0) return;
    // A file too many is one of the wanted versions with other bytes.
    const isWrong = arrived.size > missing.length - absent.length;
    throw isWrong ? mismatch(absent[0] as LockedDebianPackage) : notServed(absent, said, cache);
  });
}

function notServed(absent: readonly LockedDebianPackage[], said: string, cache: PackageCache): CodedError {
  const reason = said
    .split("\n")
    .filter((line) => line.startsWith("E:"))
    .slice(0, 3)
    .join(" ");
  return new CodedError(
    "download_failed",
    `this machine's apt sources do not serve ${list(absent)}. ${reason}\n` +
      "Run apt-get update first. Archives drop a version when its successor comes: then refresh the lock with " +
      "`npm run runtime:lock` (the image gets another hash), add a snapshot of the archive to the apt sources, or put " +
      `the package as ${cache.debPath("<its sha256>")}`,
  );
}

function withoutClient(error: unknown, missing: readonly LockedDebianPackage[], cache: PackageCache): unknown {
  if (!(error instanceof CodedError) || error.code !== "not_supported") return error;
  return new CodedError(
    "not_supported",
    `the runtime is made of Debian packages, and ${error.message}. Build it on Debian, or copy from there to here: ` +
      missing.map(({ sha256 }) => cache.debPath(sha256)).join(", "),
    { cause: error },
  );
}

function mismatch({ name, version, sha256 }: LockedDebianPackage): CodedError {
  return new CodedError("hash_mismatch", `package ${name} ${version} does not have the locked sha256 ${sha256}`);
}

function list(packages: readonly LockedDebianPackage[]): string {
  return packages.map(({ name, version, architecture }) => `${name} ${version} (${architecture})`).join(", ");
}

function fail(error: Error): never {
  throw error;
}
