import { mkdir, readdir, symlink } from "node:fs/promises";
import { join, posix } from "node:path";

import { CodedError } from "../domain/errors.ts";
import type { GuestVolume } from "./mounts.ts";

/** Where the shards of several volumes stand side by side, in the guest. */
const JOINED = "/run/pinference/model";

/**
 * The path by which the server finds its model. Shards of one model lie on a volume each, and llama.cpp looks for them
 * beside the first: links in one directory bring them together. `model` is a path in the guest, as is the result.
 * Errors: `program_failed` when the model or two files of one name are not there to be joined.
 */
export async function joinShards(model: string, volumes: readonly GuestVolume[], root: string): Promise<string> {
  if (volumes.length < 2) return model;
  const directory = join(root, JOINED);
  await mkdir(directory, { recursive: true });
  const joined = new Map<string, string>();
  for (const volume of volumes) {
    for (const name of await readdir(volume.directory)) {
      if (!name.endsWith(".gguf")) continue;
      const other = joined.get(name);
      if (other !== undefined) {
        throw new CodedError("program_failed", `the volumes ${other} and ${volume.mount} both have a file ${name}`);
      }
      joined.set(name, volume.mount);
      await symlink(join(volume.directory, name), join(directory, name));
    }
  }
  const name = posix.basename(model);
  if (!joined.has(name)) throw new CodedError("program_failed", `no model volume has the file ${name}`);
  return `${JOINED}/${name}`;
}
