import { createHash, randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";

/**
 * Packages on this machine, each in a file named after its contents. A file whose contents do not match its name
 * counts as missing, so files can be put there by hand, from another machine.
 */
export class PackageCache {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  debPath(sha256: string): string {
    return join(this.directory, `${sha256}.deb`);
  }

  npmPath(integrity: string): string {
    return join(this.directory, `${Buffer.from(integrity.replace(/^sha512-/, ""), "base64").toString("hex")}.tgz`);
  }

  async readDeb(sha256: string): Promise<Buffer | undefined> {
    const content = await readIfThere(this.debPath(sha256));
    return content !== undefined && sha256Of(content) === sha256 ? content : undefined;
  }

  async readNpm(integrity: string): Promise<Buffer | undefined> {
    const content = await readIfThere(this.npmPath(integrity));
    return content !== undefined && integrityOf(content) === integrity ? content : undefined;
  }

  /** Moves a file to its place. */
  async keep(from: string, path: string): Promise<void> {
    await rename(from, path);
  }

  /** Runs `use` in a new directory on the same disk, which is removed afterwards. */
  async withTemporary<T>(use: (directory: string) => Promise<T>): Promise<T> {
    const directory = join(this.directory, `.part-${randomUUID()}`);
    await mkdir(directory, { recursive: true });
    try {
      return await use(directory);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }
}

export function sha256Of(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

export function integrityOf(content: Uint8Array): string {
  return `sha512-${createHash("sha512").update(content).digest("base64")}`;
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
