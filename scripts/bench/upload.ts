/**
 * Uploads a file as large as the network takes to a local node in a process of its own: rate, and the most memory that
 * either needed. `node dist/scripts/bench/upload.js [MIB]`, by default 4032.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { hashImage } from "../../deploy/image/image-hash.ts";
import { createAlephNetwork } from "../../deploy/network/aleph.ts";
import { mostMemoryMiB } from "./memory.ts";
import { printTable } from "./table.ts";

const MIB = 1_048_576;
const mib = Number(process.argv[2] ?? 4032);
const command = fileURLToPath(new URL("../../../bin/pinference.js", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "pinference-upload-"));

const node = spawn(
  process.execPath,
  [command, "node", "--json", "--port", "0", "--data-dir", join(directory, "node"), "--owner", "0x01"],
  { stdio: ["ignore", "pipe", "inherit"] },
);
try {
  const path = join(directory, "file");
  await writeBlocks(path);
  const hashes = await hashImage(path);
  const url = await urlOf();
  const network = createAlephNetwork({ apiServer: url, privateKey: `0x${"11".repeat(32)}` });
  const startedAt = performance.now();
  await network.pin({ path, ...hashes });
  const seconds = (performance.now() - startedAt) / 1000;
  printTable("upload", [
    {
      file: `${mib} MiB`,
      seconds: seconds.toFixed(1),
      rate: `${((mib * MIB) / seconds / 1e6).toFixed(0)} MB/s`,
      "most memory, sender": `${Math.round(process.resourceUsage().maxRSS / 1024)} MiB`,
      "most memory, node": `${mostMemoryMiB(node.pid ?? 0)} MiB`,
    },
  ]);
} finally {
  node.kill("SIGTERM");
  rmSync(directory, { recursive: true, force: true });
}

/** No two blocks are equal, since a tree holds equal ones once. */
async function writeBlocks(path: string): Promise<void> {
  const file = await open(path, "w");
  const block = Buffer.alloc(MIB);
  for (let at = 0; at < MIB; at += 4) block.writeUInt32LE((at * 2_654_435_761) % 2 ** 32, at);
  for (let index = 0; index < mib; index += 1) {
    for (let leaf = 0; leaf < 4; leaf += 1) block.writeUInt32LE(4 * index + leaf, leaf * 262_144);
    await file.writeFile(block);
  }
  await file.close();
}

async function urlOf(): Promise<string> {
  for await (const line of createInterface({ input: node.stdout })) {
    const { detail } = JSON.parse(line) as { detail?: string };
    if (detail !== undefined) return detail;
  }
  throw new Error("the node did not start");
}
