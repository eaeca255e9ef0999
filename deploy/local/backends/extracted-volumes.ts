import { access, mkdir } from "node:fs/promises";
import { join } from "node:path";

import type { FileHash } from "../../../src/domain/hash.ts";
import type { ImageFile } from "./backend.ts";

/** Writes the files of an image below a directory that appears only when it is whole. */
export type Extract = (imagePath: string, directory: string, options?: { signal?: AbortSignal }) => Promise<void>;

/** Images unpacked once, each in a directory named by its file hash: a directory that exists is complete. */
export class ExtractedVolumes {
  readonly #directory: string;
  readonly #extract: Extract;
  readonly #underWay = new Map<FileHash, Promise<string>>();

  constructor(directory: string, extract: Extract) {
    this.#directory = directory;
    this.#extract = extract;
  }

  /** The directory with the image's files. Programs that share a volume share its extraction. */
  directoryOf(image: ImageFile, signal: AbortSignal): Promise<string> {
    const underWay = this.#underWay.get(image.fileHash);
    if (underWay !== undefined) return underWay;
    const extraction = this.#extractOnce(image, signal).finally(() => this.#underWay.delete(image.fileHash));
    this.#underWay.set(image.fileHash, extraction);
    return extraction;
  }

  async #extractOnce({ path, fileHash }: ImageFile, signal: AbortSignal): Promise<string> {
    const directory = join(this.#directory, fileHash);
    if (await exists(directory)) return directory;
    await mkdir(this.#directory, { recursive: true });
    await this.#extract(path, directory, { signal });
    return directory;
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
