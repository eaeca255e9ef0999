/**
 * Kills deploys at every boundary of their steps and at random moments; the next deploy must make each good.
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
/** Lines of a whole deploy: each is told when a step has ended. */
const LINES = 7;
/** Longer than a deploy takes on a quiet machine. */
const LATEST_MS = 2500;
const EARLIEST_MS = 200;

const directory = mkdtempSync(join(tmpdir(), "pinference-crashes-"));
const env = { PINFERENCE_DATA_DIR: join(directory, "home") };
const node = await startNodeProcess(join(directory, "node"), ["--owner", wallet.address], env);
const crashes = await new CrashRuns(directory, node.url).start();
const random = seeded(seed);
const reached = new Map<string, number>();
let failed = 0;
try {
  for (let run = 0; run < runs; run += 1) {
    const moment: Moment =
      run % 3 === 0
        ? { line: 1 + ((run / 3) % LINES) }
        : { ms: Math.round(EARLIEST_MS + random() * (LATEST_MS - EARLIEST_MS)) };
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
