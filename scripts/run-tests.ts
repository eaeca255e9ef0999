/**
 * Runs the compiled tests and ends with the totals: `npm run test:run [-- FOLDER_OR_FILE…]`, each argument a part of a
 * test's path below test/. Every skipped test is listed again with its reason.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../test/", import.meta.url));
const wanted = process.argv.slice(2);
const files = readdirSync(root, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".test.js"))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part.replace(/\.ts$/, ".js"))))
  .toSorted()
  .map((file) => join(root, file));
if (files.length === 0) {
  console.error(`no test matches ${wanted.join(" ")}`);
  process.exit(1);
}

const totals = { passed: 0, failed: 0, skipped: 0 };
const skips: string[] = [];

// One file at a time: the tests start inference and virtual networks, which share this machine's few cores.
const tests = run({ files, concurrency: 1 });
for (const outcome of ["test:pass", "test:fail"] as const) {
  tests.on(outcome, (data: TestEventData) => {
    if (data.details.type === "suite" || isFile(data)) return;
    if (data.skip !== undefined && data.skip !== false) {
      totals.skipped += 1;
      skips.push(`skipped: ${data.name}: ${data.skip === true || data.skip === "" ? "no reason given" : data.skip}`);
    } else totals[outcome === "test:pass" ? "passed" : "failed"] += 1;
  });
}
interface TestEventData {
  readonly name: string;
  readonly nesting: number;
  readonly skip?: string | boolean;
  readonly details: { readonly type?: string };
}

/** Node 20 and 22 report each file as a test of its own, named by its path. A file that crashes counts. */
function isFile(data: TestEventData & { readonly file?: string }): boolean {
  return data.nesting === 0 && data.name.endsWith(".test.js") && !("error" in data.details && isCrash(data.details));
}
function isCrash(details: { error?: unknown }): boolean {
  const error = details.error as { failureType?: string } | undefined;
  return error?.failureType !== undefined && error.failureType !== "subtestsFailed";
}

tests.compose(new spec()).pipe(process.stdout);
tests.on("end", () => {
  setImmediate(() => {
    for (const line of skips) console.log(line);
    console.log(`\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
    process.exitCode = totals.failed > 0 || totals.passed === 0 ? 1 : 0;
  });
});
