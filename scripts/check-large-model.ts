/**
 * The model of the API's original documentation has 4,368,450,304 bytes, more than a volume may have. One of the same
 * tensors with random weights is packed into volumes, deployed to a local node, asked, verified, and found out when a
 * byte of it is changed. Takes 22 GB below the folder given, which is by default the system's temporary one, and half
 * an hour: `node dist/scripts/check-large-model.js [FOLDER]`.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import type { CommandEvent } from "../deploy/commands/events.ts";
import { PRIVATE_KEY, wallet } from "../test/deploy/local/ccn-harness.ts";
import { startNodeProcess } from "../test/support/commands.ts";
import { withOneByteChanged } from "../test/support/tamper.ts";
import { COMMAND } from "../test/support/up-process.ts";
import { VM_PACKAGES } from "../test/support/vm-packages.ts";
import { mostMemoryMiB } from "./bench/memory.ts";
import { printTable } from "./bench/table.ts";
import { writeModel } from "./make-model.ts";

const BYTES = 4_368_450_304;
const MOST_VOLUME_BYTES = 4 * 2 ** 30;
const LOOK_MS = 250;
const TOKENS = 4;

const folder = mkdtempSync(join(process.argv[2] ?? tmpdir(), "pinference-large-"));
const model = join(folder, "random-7b.Q4_K_M.gguf");
const lockfile = join(folder, "pins.json");
const env = {
  PINFERENCE_DATA_DIR: join(folder, "home"),
  PINFERENCE_PACKAGES_DIR: VM_PACKAGES,
  ALEPH_PRIVATE_KEY: PRIVATE_KEY,
};
writeModel("7b", model);
assert.equal(statSync(model).size, BYTES);
const node = await startNodeProcess(join(folder, "node"), ["--owner", wallet.address], env);
const network = ["--api-server", node.url, "--lockfile", lockfile];
try {
  const rows: Row[] = [];
  const note = (row: Row) => {
    rows.push(row);
    console.log(JSON.stringify(row));
  };
  const deployed = await run("deploy", [model, "--yes", "--no-start", ...network]);
  note(deployed.row);
  for (const event of deployed.events) if (event.event === "stage") console.log(JSON.stringify(event));
  const { models } = JSON.parse(readFileSync(lockfile, "utf8")) as {
    models: Record<string, { itemHash: string; volumes: { fileHash: string; bytes: number }[] }>;
  };
  const { volumes = [], itemHash = "" } = models["random-7b.q4_k_m"] ?? {};
  assert.ok(volumes.length > 1);
  for (const { bytes } of volumes) assert.ok(bytes < MOST_VOLUME_BYTES, `${bytes} bytes`);

  const verified = await run("verify", [itemHash, "--model", model, ...network]);
  note(verified.row);
  assert.equal(verified.code, 0, JSON.stringify(wrongOf(verified.events)));
  note((await run("warm", [itemHash, ...network])).row);
  note({ command: `an answer of ${TOKENS} tokens`, seconds: (await ask(itemHash)).toFixed(0), "most memory": "" });
  for (const [at, { fileHash }] of volumes.entries()) {
    const path = join(folder, "node", "node", "files", fileHash);
    assert.ok(existsSync(path));
    const found = await withOneByteChanged(path, () => run("verify", [itemHash, "--shallow", ...network]));
    note({ ...found.row, command: `verify --shallow, a byte of volume ${at + 1} changed` });
    assert.equal(found.code, 4);
    assert.deepEqual(new Set(wrongOf(found.events)), new Set([`model volume ${at + 1}`]));
  }
  rows.push({ command: "the node, meanwhile", seconds: "", "most memory": `${mostMemoryMiB(node.pid)} MiB` });
  printTable(`a model of ${BYTES.toLocaleString("en-US")} bytes on the local node`, rows);
  for (const [at, { bytes }] of volumes.entries()) {
    console.log(`volume ${at + 1}: ${bytes.toLocaleString("en-US")} bytes`);
  }
} finally {
  await node.stop();
  rmSync(folder, { recursive: true, force: true });
}

/** Of a table. */
interface Row extends Record<string, string> {
  readonly command: string;
}

/** Seconds. Its words mean nothing, but it is an answer of all weights. */
async function ask(itemHash: string): Promise<number> {
  const startedAt = performance.now();
  const response = await fetch(`${node.url}/vm/${itemHash}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ messages: [{ role: "user", content: "Hello" }], max_tokens: TOKENS }),
  });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  const { usage } = JSON.parse(text) as { usage: { completion_tokens: number } };
  assert.ok(usage.completion_tokens > 0);
  return (performance.now() - startedAt) / 1000;
}

function wrongOf(events: readonly CommandEvent[]): readonly string[] {
  return events.flatMap((event) => (event.event === "finding" && !event.ok ? [event.link] : []));
}

/** The command as a process of its own, with its time and its largest resident size. */
async function run(command: string, args: readonly string[]) {
  const startedAt = performance.now();
  const child = spawn(process.execPath, [COMMAND, command, ...args, "--json"], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const closed = once(child, "close") as Promise<[number | null]>;
  let memoryMiB = 0;
  const look = setInterval(() => (memoryMiB = Math.max(memoryMiB, mostMemoryMiB(child.pid ?? 0))), LOOK_MS);
  const events: CommandEvent[] = [];
  for await (const line of createInterface({ input: child.stdout })) events.push(JSON.parse(line) as CommandEvent);
  const [code] = await closed;
  clearInterval(look);
  const seconds = (performance.now() - startedAt) / 1000;
  const error = events.find((event) => event.event === "error");
  if (error !== undefined) throw new Error(`${command} ended with ${code}: ${error.message}`);
  const row = { command, seconds: seconds.toFixed(0), "most memory": `${memoryMiB} MiB` };
  return { code, events, row };
}
