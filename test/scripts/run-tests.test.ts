import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { scratchDirectory } from "../support/scratch.ts";

const scratch = scratchDirectory();

/** Runs these test files, by name, with a copy of the runner. */
function runTests(files: Readonly<Record<string, string>>, args: readonly string[] = []) {
  const [scripts, tests] = [join(scratch, "dist", "scripts"), join(scratch, "dist", "test")];
  rmSync(scratch, { recursive: true, force: true });
  for (const directory of [scripts, tests]) mkdirSync(directory, { recursive: true });
  writeFileSync(join(scratch, "package.json"), '{"type":"module"}');
  const runner = join(scripts, "run-tests.js");
  copyFileSync(fileURLToPath(new URL("../../scripts/run-tests.js", import.meta.url)), runner);
  for (const [name, body] of Object.entries(files)) {
    const imports = 'import { after, before, describe, test } from "node:test";\n';
    writeFileSync(join(tests, `${name}.test.js`), imports + body);
  }
  const { NODE_TEST_CONTEXT: _ours, ...env } = process.env;
  const { status, stdout } = spawnSync(process.execPath, [runner, ...args], { encoding: "utf8", env });
  const lines = stdout.trimEnd().split("\n");
  return { status, totals: lines.at(-1), skips: lines.filter((line) => line.startsWith("skipped: ")) };
}

const FAIL = '() => { throw new Error("x"); }';
const COUNTED: Record<string, readonly [body: string, totals: string]> = {
  "tests, those in suites and in tests too": [
    'test("a", () => {}); describe("s", () => { test("b", () => {}); }); test("c", (t) => t.test("d", () => {}));',
    "4 passed, 0 failed, 0 skipped",
  ],
  "a failing test in a suite, once": [`describe("s", () => { test("a", ${FAIL}); });`, "0 passed, 1 failed, 0 skipped"],
  "a file that crashes": ['test("a", () => {}); process.exit(3);', "0 passed, 1 failed, 0 skipped"],
  "a file that cannot be read": ["this is no JavaScript", "0 passed, 1 failed, 0 skipped"],
  "a file that is killed": ['process.kill(process.pid, "SIGKILL");', "0 passed, 1 failed, 0 skipped"],
  "a failure after the last test": [`test("a", () => {}); setTimeout(${FAIL}, 20);`, "1 passed, 1 failed, 0 skipped"],
  "a failing hook of a file": [`after(${FAIL}); test("a", () => {});`, "1 passed, 1 failed, 0 skipped"],
  "a failing hook of a suite": [
    `describe("s", () => { after(${FAIL}); test("a", () => {}); });`,
    "1 passed, 1 failed, 0 skipped",
  ],
  "a file without tests as nothing, which is a failure alone": ["", "0 passed, 0 failed, 0 skipped"],
};

for (const [what, [body, totals]] of Object.entries(COUNTED)) {
  test(`the runner counts ${what}`, () => {
    const run = runTests({ one: body });
    assert.equal(run.totals, totals);
    assert.equal(run.status, totals === "4 passed, 0 failed, 0 skipped" ? 0 : 1);
  });
}

test("the runner says why something was skipped, whole suites too", () => {
  const body = `test("a", { skip: "no moon" }, ${FAIL}); test("b", (t) => t.skip("late")); test("c", { skip: true });
    describe("s", { skip: "not here" }, () => { test("d", ${FAIL}); }); test("e", () => {});`;
  const { status, totals, skips } = runTests({ one: body });
  assert.deepEqual([status, totals], [0, "1 passed, 0 failed, 4 skipped"]);
  assert.deepEqual(skips, [
    "skipped: a: no moon",
    "skipped: b: late",
    "skipped: c: no reason given",
    "skipped: s: not here",
  ]);
});

test("the runner takes the files that are asked for; none is a failure", () => {
  const files = { one: 'test("a", () => {});', two: `test("b", ${FAIL});` };
  assert.equal(runTests(files, ["one.test.ts"]).totals, "1 passed, 0 failed, 0 skipped");
  assert.equal(runTests(files, ["three"]).status, 1);
});
