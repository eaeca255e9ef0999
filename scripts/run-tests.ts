/**
 * Runs the compiled tests and ends with the totals: `npm run test:run [-- FOLDER_OR_FILE…]`, each argument a part of a
 * test's path below test/. Every skipped test is listed again with its reason. Those of test/long run only when asked for.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { fileURLToPath } from "node:url";

/** No test is silent for so long: what still runs then hangs, such as a file that left a server open. */
const SILENCE_MS = 5 * 60_000;

const root = fileURLToPath(new URL("../test/", import.meta.url));
const wanted = process.argv.slice(2).map((part) => part.replace(/\.ts$/, ".js"));
const files = readdirSync(root, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".test.js"))
  .filter((file) => (wanted.length === 0 ? !file.startsWith("long/") : wanted.some((part) => file.includes(part))))
  .toSorted()
  .map((file) => join(root, file));
if (files.length === 0) {
  console.error(`no test matches ${wanted.join(" ")}`);
  process.exit(1);
}

/** What is used of the events `test:pass` and `test:fail`, in all versions of Node from 20 on. */
interface Outcome {
  readonly name: string;
  readonly skip?: string | boolean;
  readonly details: { readonly type?: string; readonly error?: { readonly failureType?: string } };
}

const totals = { passed: 0, failed: 0 };
const skipped: string[] = [];

function countPass({ name, skip, details }: Outcome): void {
  if (skip !== undefined && skip !== false)
    skipped.push(`${name}: ${typeof skip === "string" ? skip : "no reason given"}`);
  // A suite is counted by its tests; a file without any reports itself.
  else if (details.type !== "suite" && !files.includes(name)) totals.passed += 1;
}

/** Files and suites report themselves too: because of a test in them, which is counted, or of a crash or a hook. */
function countFailure({ details }: Outcome): void {
  if (details.error?.failureType !== "subtestsFailed") totals.failed += 1;
}

const hanging = new AbortController();
const silence = setTimeout(() => hanging.abort(), SILENCE_MS);

// Two files at a time: the tests start inference and virtual networks, which share this machine's few cores, and wait
// for them much of the time.
const tests = run({ files, concurrency: 2, signal: hanging.signal });
tests.on("test:pass", countPass);
tests.on("test:fail", countFailure);
tests.on("data", () => silence.refresh());
tests.on("end", () => clearTimeout(silence));
tests
  .compose(new spec())
  .on("end", () => {
    for (const line of skipped) console.log(`skipped: ${line}`);
    console.log(`\n${totals.passed} passed, ${totals.failed} failed, ${skipped.length} skipped`);
    process.exitCode = totals.failed > 0 || totals.passed === 0 ? 1 : 0;
  })
  .pipe(process.stdout);
