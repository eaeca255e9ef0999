import { keyOf } from "../artefacts.ts";
import { filesKey } from "../files-key.ts";
import { planHostRuntime } from "../image/host-runtime.ts";
import { planRuntime } from "../image/runtime.ts";
import { readRuntimeLock, RUNTIME_LOCK } from "../image/runtime-lock.ts";
import { buildSquashfs } from "../image/squashfs.ts";
import { fetchDebianPackages } from "../packages/fetch-debian.ts";
import { fetchNpmPackage } from "../packages/fetch-npm.ts";
import { PackageCache } from "../packages/package-cache.ts";
import { type PackageFiles, unpackDeb, unpackNpm } from "../packages/unpack.ts";
import type { ImageRecipe } from "../stages/pin-image.ts";

/** Increase when the same inputs have to become another image. */
const HOST_RUNTIME_FORMAT = 1;

/** What programs name that run as processes of this machine. */
export function hostRuntimeRecipe(): ImageRecipe {
  return {
    stage: "runtime",
    key: keyOf("runtime", { format: HOST_RUNTIME_FORMAT }),
    build: (path, options) => buildSquashfs(planHostRuntime(), path, { ...options, compression: "gzip" }),
  };
}

/** The root of the virtual machine. Packages are kept in `cacheDirectory`; downloading them is part of building. */
export async function runtimeRecipe(packageRoot: string, cacheDirectory: string): Promise<ImageRecipe> {
  const inputs = [RUNTIME_LOCK, "package-lock.json", "deploy/image/rootfs", "dist/src/guest", "dist/src/domain"];
  return {
    stage: "runtime",
    key: keyOf("runtime", { files: await filesKey(packageRoot, [...inputs, "dist/deploy/image"]) }),
    async build(path, options) {
      const packages = await loadPackages(packageRoot, cacheDirectory, options.signal);
      const plan = await planRuntime({ packageRoot, packages });
      return await buildSquashfs(plan, path, { ...options, compression: "zstd" });
    },
  };
}

/** The files of all locked packages, by package. Errors: those of fetching and unpacking. */
async function loadPackages(
  packageRoot: string,
  cacheDirectory: string,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, PackageFiles>> {
  const lock = await readRuntimeLock(packageRoot);
  const cache = new PackageCache(cacheDirectory);
  const debs = await fetchDebianPackages(lock.debian, cache, signal);
  const files = new Map<string, PackageFiles>();
  for (const [at, { name }] of lock.debian.entries()) files.set(name, await unpackDeb(debs[at] as Buffer));
  for (const locked of lock.npm) files.set(locked.name, unpackNpm(await fetchNpmPackage(locked, cache, signal)));
  return files;
}
