import { access, mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { CodedError } from "../../src/domain/errors.ts";
import { readRuntimeLock } from "../image/runtime-lock.ts";
import { buildInitrd, INITRD_RECIPE } from "../local/backends/microvm/initrd.ts";
import type { Kernel } from "../local/backends/microvm/qemu.ts";
import { fetchDebianPackages } from "../packages/fetch-debian.ts";
import { fetchKernelPackage } from "../packages/fetch-kernel.ts";
import { PackageCache, sha256Of } from "../packages/package-cache.ts";
import { type PackageFiles, unpackDeb } from "../packages/unpack.ts";

const KERNEL = /^boot\/vmlinuz-/;
const MODULE = /^lib\/modules\/[^/]+\/kernel\/(.+)\.ko$/;

/**
 * A kernel that QEMU boots, and the initial root that it needs before ours. Made once for each kernel package and
 * kept beside it; the package is downloaded where it is missing. Errors: those of fetching; `program_failed`.
 */
export async function prepareKernel(packageRoot: string, packages: string, signal?: AbortSignal): Promise<Kernel> {
  const cache = new PackageCache(packages);
  await mkdir(packages, { recursive: true });
  const lock = await readRuntimeLock(packageRoot);
  const kernelDeb = await fetchKernelPackage(cache, signal);
  const [busyboxDeb] = await fetchDebianPackages(
    lock.debian.filter(({ name }) => name === "busybox-static"),
    cache,
    signal,
  );
  if (busyboxDeb === undefined) throw new CodedError("config_invalid", "the runtime's lock has no busybox-static");

  const inputs = [sha256Of(kernelDeb), sha256Of(busyboxDeb), INITRD_RECIPE];
  const directory = join(packages, `kernel-${sha256Of(Buffer.from(inputs.join())).slice(0, 16)}`);
  const kernel = { kernelPath: join(directory, "vmlinuz"), initrdPath: join(directory, "initrd.gz") };
  if (await isThere(directory)) return kernel;
  await cache.withTemporary(async (temporary) => {
    const whole = join(temporary, "kernel");
    await mkdir(whole);
    const { image, modules } = readKernel(await unpackDeb(kernelDeb));
    await writeFile(join(whole, "vmlinuz"), image);
    const busybox = (await unpackDeb(busyboxDeb)).get("bin/busybox") ?? missing("bin/busybox");
    await writeFile(join(whole, "initrd.gz"), buildInitrd(busybox, modules));
    // Another process may have been faster; its result is the same.
    await rename(whole, directory).catch(async (error: unknown) => {
      if (!(await isThere(directory))) throw error;
    });
  });
  return kernel;
}

function readKernel(files: PackageFiles) {
  const image = [...files].find(([path]) => KERNEL.test(path))?.[1] ?? missing("kernel");
  const modules = new Map<string, Uint8Array>();
  for (const [path, content] of files) {
    const [, name] = MODULE.exec(path) ?? [];
    if (name !== undefined) modules.set(name, content);
  }
  return { image, modules };
}

function missing(what: string): never {
  throw new CodedError("program_failed", `a package for virtual machines has no ${what}`);
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
