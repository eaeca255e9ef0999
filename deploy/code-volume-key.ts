import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/**
 * Names the content of the code volume without reading its dependencies: the compiled server is hashed, the packages
 * beside it are named by the lockfile. Takes a few milliseconds, where building takes seconds.
 */
export async function codeVolumeKey(packageRoot: string, ...salt: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  const add = (name: string, content: string | Uint8Array) =>
    hash.update(`${name}\0${content.length}\0`).update(content);
  for (const word of salt) add("salt", word);
  for (const name of ["package.json", "package-lock.json"]) add(name, await readIfThere(join(packageRoot, name)));
  const compiled = join(packageRoot, "dist", "src");
  const files = (await readdir(compiled, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
  for (const file of files) add(file.slice(compiled.length), await readFile(file));
  return `code:${hash.digest("hex")}`;
}

/** An installed package has no lockfile of its own. */
async function readIfThere(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return new Uint8Array();
    throw error;
  }
}
