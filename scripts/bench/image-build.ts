/**
 * How fast a model volume is built, against `cp` and `sha256sum` of the same file, which do less: one copy, one hash.
 * Prints one row of a table. Run it compiled: `node dist/scripts/bench/image-build.js [MIB] [FOLDER]`, by default 1024
 * in the system's temporary folder, where it needs twice that; it removes what it wrote.
 */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { fileURLToPath } from "node:url";

import { planModelVolume } from "../../deploy/image/model-volume.ts";
import { buildSquashfs } from "../../deploy/image/squashfs.ts";

const ROUNDS = 3;
const [first = "1024", second = tmpdir(), third = ""] = process.argv.slice(2);
if (first === "--build") await build(second, third);
else await compare(Number(first), second);

/** In a process of its own, so that the peak is that of building alone. */
async function build(ggufPath: string, imagePath: string): Promise<void> {
  const begin = performance.now();
  const plan = await planModelVolume({ ggufPath, fileName: "model.gguf", card: { id: "bench" } });
  await buildSquashfs(plan, imagePath, { compression: "none" });
  const seconds = (performance.now() - begin) / 1000;
  console.log(JSON.stringify({ seconds, peakMiB: process.resourceUsage().maxRSS / 1024 }));
}

async function compare(sizeMiB: number, parent: string): Promise<void> {
  const folder = mkdtempSync(join(parent, "pinference-bench-"));
  const copy = join(folder, "output");
  try {
    const source = join(folder, "source");
    await writeNoise(source, sizeMiB);
    const builds: { seconds: number; peakMiB: number }[] = [];
    const copies: number[] = [];
    const syncedCopies: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const script = fileURLToPath(import.meta.url);
      const output = execFileSync(process.execPath, [script, "--build", source, copy], { encoding: "utf8" });
      builds.push(JSON.parse(output) as { seconds: number; peakMiB: number });
      rmSync(copy);
      const begin = performance.now();
      execFileSync("cp", [source, copy]);
      execFileSync("sha256sum", [source]);
      const copied = performance.now();
      execFileSync("sync", [copy]);
      copies.push((copied - begin) / 1000);
      syncedCopies.push((performance.now() - begin) / 1000);
      rmSync(copy);
    }
    const seconds = median(builds.map((one) => one.seconds));
    const row = [
      `${sizeMiB} MiB`,
      `${Math.round((sizeMiB * 1.048576) / seconds)} MB/s`,
      `${Math.round(Math.max(...builds.map((one) => one.peakMiB)))} MiB`,
      (median(copies) / seconds).toFixed(2),
      (median(syncedCopies) / seconds).toFixed(2),
      `${cpus()[0]?.model ?? "?"}, ${cpus().length} cores, Node.js ${process.version}`,
    ];
    console.log(
      "| model | image build | peak RSS | speed / (cp + sha256sum) | speed / (cp + sha256sum + sync) | machine |",
    );
    console.log("|---|---|---|---|---|---|");
    console.log(`| ${row.join(" | ")} |`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function writeNoise(path: string, sizeMiB: number): Promise<void> {
  const file = await open(path, "w");
  const noise = randomBytes(1 << 20);
  for (let written = 0; written < sizeMiB; written += 1) await file.write(noise);
  await file.sync();
  await file.close();
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
