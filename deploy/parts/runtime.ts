import { copyFile, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";

import type { BuiltImage } from "../../src/domain/volume.ts";
import { keyOf } from "../artefacts.ts";
import { filesKey } from "../files-key.ts";
import { hashImage } from "../image/image-hash.ts";
import { planHostRuntime } from "../image/host-runtime.ts";
import { planRuntime } from "../image/runtime.ts";
import { readRuntimeLock, RUNTIME_LOCK } from "../image/runtime-lock.ts";
import { buildSquashfs } from "../image/squashfs.ts";
import { fetchDebianPackages } from "../packages/fetch-debian.ts";
import { fetchNpmPackage } from "../packages/fetch-npm.ts";
import { PackageCache } from "../packages/package-cache.ts";
import { type PackageFiles, unpackDeb, unpackNpm } from "../packages/unpack.ts";
import type { ImageRecipe } from "../stages/pin-image.ts";

const SUFFIX = ".squashfs";
/** For a plan of costs, before it is built. */
const ABOUT_BYTES = 45_200_000;

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

/**
 * The root of the virtual machine. Packages are kept in `cacheDirectory`; downloading them is part of building. So is
 * the image, which takes half a minute of compression: it is copied from there next time, unless `anew` is asked for.
 */
export async function runtimeRecipe(packageRoot: string, cacheDirectory: string, anew = false): Promise<ImageRecipe> {
  const inputs = [RUNTIME_LOCK, "package-lock.json", "deploy/image/rootfs", "dist/src/guest", "dist/src/domain"];
  const key = keyOf("runtime", { files: await filesKey(packageRoot, [...inputs, "dist/deploy/image"]) });
  const kept = new KeptImage(cacheDirectory, key);
  return {
    stage: "runtime",
    key,
    aboutBytes: ABOUT_BYTES,
    async build(path, options) {
      const copy = anew ? undefined : await kept.copyTo(path, options.signal);
      if (copy !== undefined) return copy;
      const packages = await loadPackages(packageRoot, cacheDirectory, options.signal);
      const plan = await planRuntime({ packageRoot, packages });
      const image = await buildSquashfs(plan, path, { ...options, compression: "zstd" });
      await kept.keep(image);
      return image;
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

/** An image of the cache, whose name holds the key of its recipe and the sha256 of its bytes. */
class KeptImage {
  readonly #directory: string;
  readonly #prefix: string;

  constructor(directory: string, key: string) {
    this.#directory = directory;
    this.#prefix = `${key.replaceAll(/[^\w-]/g, "-").slice(0, 40)}-`;
  }

  /** Undefined when there is none, or its bytes are not those that were kept. */
  async copyTo(path: string, signal: AbortSignal | undefined): Promise<BuiltImage | undefined> {
    const names = await readdir(this.#directory).catch((): string[] => []);
    const name = names.find((one) => one.startsWith(this.#prefix) && one.endsWith(SUFFIX));
    if (name === undefined) return undefined;
    await copyFile(join(this.#directory, name), path);
    const image = await hashImage(path, signal === undefined ? {} : { signal });
    if (name === this.#nameOf(image.sha256)) return { path, ...image };
    await rm(join(this.#directory, name), { force: true });
    return undefined;
  }

  async keep({ path, sha256 }: BuiltImage): Promise<void> {
    const target = join(this.#directory, this.#nameOf(sha256));
    const part = `${target}.${process.pid}.part`;
    try {
      await copyFile(path, part);
      await rename(part, target);
    } catch {
      // It was only to save time.
      await rm(part, { force: true });
    }
  }

  #nameOf(sha256: string): string {
    return `${this.#prefix}${sha256}${SUFFIX}`;
  }
}
