/**
 * Kills deploys at every boundary of their steps and within them; the next deploy must make each good. Programs are
 * started, too, and now and then the network is a new one, on which everything is to be uploaded.
 *
 *   node dist/scripts/check-crashes.js [RUNS] [SEED]       200 runs by default
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { CrashRuns, seeded, type Moment } from "../test/support/crashes.ts";
import { startNodeProcess } from "../test/support/commands.ts";
import { wallet } from "../test/deploy/local/ccn-harness.ts";

const [runs = 200, seed = 1] = process.argv.slice(2).map(Number);
/** Programs that run stay: more of them than this, and a node has no processor left. */
const RUNS_OF_A_NODE = 6;

const directory = mkdtempSync(join(tmpdir(), "pinference-crashes-"));
const env = { PINFERENCE_DATA_DIR: join(directory, "home") };
let node = await startNode(0);
const crashes = await new CrashRuns(directory, node.url, []).start();
const random = seeded(seed);
const reached = new Map<string, number>();
let failed = 0;
try {
  // With everything to upload, and with the model alone.
  const ends = [await crashes.measure(), await crashes.measure()] as const;
  for (let run = 0; run < runs; run += 1) {
    const isNew = run % RUNS_OF_A_NODE === 0;
    if (isNew) await replaceNode(run + 1);
    const moment = momentOf(run, isNew ? ends[0] : ends[1]);
    const outcome = await crashes.crash(moment);
    reached.set(outcome.reached, (reached.get(outcome.reached) ?? 0) + 1);
    if (outcome.problems.length > 0) {
      failed += 1;
      console.log(
        `run ${run + 1}, ${JSON.stringify(moment)}, after ${outcome.reached}: ${outcome.problems.join("; ")}`,
      );
    }
  }
} finally {
  crashes.stop();
  await node.stop();
  rmSync(directory, { recursive: true, force: true });
}
console.log(
  `${runs} deploys were killed, after: ${[...reached].map(([stage, times]) => `${stage} ${times}`).join(", ")}`,
);
console.log(failed === 0 ? "every next deploy made it good" : `${failed} were not made good`);
process.exitCode = failed === 0 ? 0 : 1;

/** Every step gets as many kills as any other, however short it is: one in three at its beginning, the others in it. */
function momentOf(run: number, ends: readonly number[]): Moment {
  const line = run % ends.length;
  if (line > 0 && random() < 1 / 3) return { line };
  const duration = (ends[line] ?? 0) - (ends[line - 1] ?? 0);
  return { line, ms: Math.round(random() * duration) };
}

async function replaceNode(name: number): Promise<void> {
  await node.stop();
  node = await startNode(name);
  crashes.moveTo(node.url);
}

function startNode(name: number) {
  return startNodeProcess(join(directory, `node-${name}`), ["--owner", wallet.address], env);
}
