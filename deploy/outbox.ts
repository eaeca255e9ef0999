import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { writeFileAtomically } from "./files/write-file-atomically.ts";
import type { Outbox } from "./network/network.ts";

/**
 * Reads `outbox.json`: messages on their way. A file that cannot be read counts as empty, for the network itself is
 * asked too before anything is sent. The lock of the data directory must be held.
 */
export async function openOutbox(directory: string): Promise<Outbox> {
  const path = join(directory, "outbox.json");
  const contents = new Map(Object.entries(await read(path)));
  const write = () => writeFileAtomically(path, `${JSON.stringify(Object.fromEntries(contents), undefined, 2)}\n`);
  return {
    get: (key) => contents.get(key),
    async put(key, content) {
      contents.set(key, content);
      await write();
    },
    async remove(key) {
      if (contents.delete(key)) await write();
    },
  };
}

async function read(path: string): Promise<Record<string, object>> {
  try {
    const content = JSON.parse(await readFile(path, "utf8")) as unknown;
    return typeof content === "object" && content !== null ? (content as Record<string, object>) : {};
  } catch {
    return {};
  }
}
