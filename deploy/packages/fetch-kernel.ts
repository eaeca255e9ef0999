import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

import { CodedError } from "../../src/domain/errors.ts";
import type { PackageCache } from "./package-cache.ts";
import { runClient } from "./run-client.ts";

/** The kernel of Debian that is made for virtual machines; each version is a package of its own. */
const META_PACKAGE = "linux-image-cloud-amd64";
const FILE = "linux-image-cloud.deb";

/**
 * The package of a kernel for virtual machines on this machine: what the cache has, else what apt has now. Any recent
 * version will do, and apt has checked its signature, so it is not locked; no published image holds it.
 * Errors: `not_supported` without apt-get; `download_failed` with what to do; `interrupted`.
 */
export async function fetchKernelPackage(cache: PackageCache, signal?: AbortSignal): Promise<Buffer> {
  const path = join(cache.directory, FILE);
  const cached = await readFile(path).catch(() => undefined);
  if (cached !== undefined) return cached;
  return await cache.withTemporary(async (directory) => {
    const run = (program: string, ...args: string[]) => runClient(program, args, { cwd: directory, signal });
    const { stdout } = await run("apt-cache", "show", "--no-all-versions", META_PACKAGE).catch(explain);
    const [, name] = /^Depends:.*\b(linux-image-\d[\w.+-]*-cloud-amd64)\b/m.exec(stdout) ?? [];
    if (name === undefined) throw notServed(META_PACKAGE, "");
    const { status, stderr } = await run("apt-get", "--quiet", "download", `${name}:amd64`);
    const [file] = (await readdir(directory)).filter((entry) => entry.endsWith(".deb"));
    if (status !== 0 || file === undefined) throw notServed(name, stderr);
    const content = await readFile(join(directory, file));
    await cache.keep(join(directory, file), path);
    return content;
  });

  function explain(error: unknown): never {
    if (!(error instanceof CodedError) || error.code !== "not_supported") throw error;
    const message =
      `a virtual machine needs a kernel, which comes as Debian's package ${META_PACKAGE}, and ${error.message}. ` +
      `Put that package's file as ${path}, or leave out --vm`;
    throw new CodedError("not_supported", message, { cause: error });
  }
}

function notServed(name: string, said: string): CodedError {
  const reason = said.split("\n").find((line) => line.startsWith("E:")) ?? "";
  return new CodedError(
    "download_failed",
    `this machine's apt sources do not serve the kernel package ${name}. ${reason} Run apt-get update and try again`,
  );
}
