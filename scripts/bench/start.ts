/**
 * How long a newcomer waits: from the command to the first answer, in a new data directory and in a used one, as whole
 * processes, in turns, medians. The ratio is to Node.js that starts and ends.
 *
 *   npm run bench:start [-- --rounds 5] [MODEL]
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { median, printTable } from "./table.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: "string", default: "5" } },
});
const command = fileURLToPath(new URL("../../../bin/pinference.js", import.meta.url));

function timed(args: readonly string[]): number {
  const startedAt = performance.now();
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${args.join(" ")} ended with ${status}: ${stderr}`);
  return performance.now() - startedAt;
}

const cold: number[] = [];
const cached: number[] = [];
const bare: number[] = [];
for (let round = 0; round < Number(values.rounds); round++) {
  const folder = mkdtempSync(join(tmpdir(), "pinference-bench-"));
  const up = [command, "up", "--port", "0", "--data-dir", join(folder, "data"), "--check", "--json", ...positionals];
  try {
    cold.push(timed(up));
    cached.push(timed(up));
    bare.push(timed(["--eval", ""]));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const row = (what: string, times: readonly number[]) => ({
  what,
  "median, ms": Math.round(median(times)),
  "least, ms": Math.round(Math.min(...times)),
  "times a bare Node.js": (median(times) / median(bare)).toFixed(1),
});
printTable(`up --check: start, first answer, end; ${values.rounds} rounds`, [
  row("new data directory", cold),
  row("used data directory", cached),
  row("node --eval ''", bare),
]);
