import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import { wallet } from "../deploy/local/ccn-harness.ts";
import { startNodeProcess } from "../support/commands.ts";
import { CrashRuns, seeded, type Moment } from "../support/crashes.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { cannotBuildRuntime } from "../support/vm-packages.ts";

const scratch = scratchDirectory();

test(
  "a deploy that was killed anywhere is made good by the next: nothing sent twice, no damaged lockfile",
  { skip: cannotBuildRuntime() },
  async (t) => {
    const node = await startNodeProcess(join(scratch, "node"), ["--owner", wallet.address], {
      PINFERENCE_DATA_DIR: join(scratch, "home"),
    });
    t.after(() => node.stop());
    const crashes = await new CrashRuns(scratch, node.url).start();
    t.after(() => crashes.stop());
    const random = seeded(7);
    const atLines = [3, 5, 6].map((line): Moment => ({ line }));
    const atTimes = [1, 2, 3].map((): Moment => ({ line: 0, ms: Math.round(300 + random() * 2000) }));
    for (const moment of [...atLines, ...atTimes]) {
      const outcome = await crashes.crash(moment);
      t.diagnostic(`killed ${JSON.stringify(moment)}, after ${outcome.reached}`);
      assert.deepEqual(outcome.problems, [], JSON.stringify(outcome));
    }
  },
);
