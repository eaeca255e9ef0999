import { access, mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";

import { parseFileHash, type FileHash } from "../../../src/domain/hash.ts";
import type { ImageFile } from "./backend.ts";

/** Writes the files of an image below a directory that appears only when it is whole. */
export type Extract = (imagePath: string, directory: string, options?: { signal?: AbortSignal }) => Promise<void>;

/** Whether the directory still is what `Extract` made of the image. Looks at it, and does not read it. */
export type IsIntact = (imagePath: string, directory: string) => Promise<boolean>;

/** Of names that stand for something unfinished, as `.<hash>.part-x7Yz1A`. */
const UNFINISHED = /^\..*\.part-/;

/** Images unpacked once, each in a directory named by its file hash: a directory that exists is complete. */
export class ExtractedVolumes {
  readonly #directory: string;
  readonly #extract: Extract;
  readonly #isIntact: IsIntact;
  #swept: Promise<void> | undefined;
  readonly #underWay = new Map<FileHash, Promise<string>>();

  constructor(directory: string, extract: Extract, isIntact: IsIntact) {
    this.#directory = directory;
    this.#extract = extract;
    this.#isIntact = isIntact;
  }

  /** The directory with the image's files. Programs that share a volume share its extraction. */
  directoryOf(image: ImageFile, signal: AbortSignal): Promise<string> {
    const underWay = this.#underWay.get(image.fileHash);
    if (underWay !== undefined) return underWay;
    const extraction = this.#extractOnce(image, signal).finally(() => this.#underWay.delete(image.fileHash));
    this.#underWay.set(image.fileHash, extraction);
    return extraction;
  }

  /** Removes what was made of images that are not among these, and nothing else. Before the first extraction. */
  async collect(named: ReadonlySet<FileHash>): Promise<void> {
    for (const name of await readdir(this.#directory).catch(() => [])) {
      const hash = asFileHash(name);
      if (hash !== undefined && !named.has(hash)) await this.#remove(hash, join(this.#directory, name));
    }
  }

  async #extractOnce({ path, fileHash }: ImageFile, signal: AbortSignal): Promise<string> {
    const directory = join(this.#directory, fileHash);
    await mkdir(this.#directory, { recursive: true });
    await (this.#swept ??= this.#sweep());
    if (await exists(directory)) {
      if (await this.#isIntact(path, directory)) return directory;
      await this.#remove(fileHash, directory);
    }
    await this.#extract(path, directory, { signal });
    return directory;
  }

  /** What a node that was killed has left. Before the first extraction, so that none of this node's own is met. */
  async #sweep(): Promise<void> {
    const names = await readdir(this.#directory);
    const unfinished = names.filter((name) => UNFINISHED.test(name)).map((name) => join(this.#directory, name));
    // Housekeeping: no start fails by it.
    await Promise.allSettled(unfinished.map((path) => rm(path, { recursive: true, force: true })));
  }

  /** Renamed first: a kill in the middle must not leave half a directory under a name that is trusted. */
  async #remove(fileHash: FileHash, directory: string): Promise<void> {
    const aside = await mkdtemp(join(this.#directory, `.${fileHash}.part-`));
    await rename(directory, join(aside, "old"));
    await rm(aside, { recursive: true, force: true });
  }
}

function asFileHash(name: string): FileHash | undefined {
  try {
    return parseFileHash(name);
  } catch {
    return undefined;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}
