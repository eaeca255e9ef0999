import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../", import.meta.url));

/** The real command and the real cleaning, around a command line that only waits for its input's end. */
function project(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "clean-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  for (const path of ["bin", "scripts/clean.mjs"]) cpSync(join(root, path), join(folder, path), { recursive: true });
  mkdirSync(join(folder, "dist/deploy"), { recursive: true });
  writeFileSync(join(folder, "dist/deploy/cli.js"), 'process.stdin.resume(); console.log("runs");');
  return folder;
}

async function startIn(folder: string) {
  const child = spawn(process.execPath, [join(folder, "bin/pinference.js")], { stdio: ["pipe", "pipe", "inherit"] });
  await once(child.stdout, "data");
  return { child, ended: once(child, "exit") };
}

function clean(folder: string) {
  const { status, stderr } = spawnSync(process.execPath, [join(folder, "scripts/clean.mjs")], { encoding: "utf8" });
  return { status, stderr, isThere: existsSync(join(folder, "dist/deploy/cli.js")) };
}

test("a build is refused while commands run from it, and cleans once they have ended", async (t) => {
  const folder = project(t);
  const [first, second] = [await startIn(folder), await startIn(folder)];
  const pids = [first, second].map(({ child }) => String(child.pid)).toSorted();
  const refused = clean(folder);
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, new RegExp(`runs from this folder's dist \\(processes ${pids.join(", ")}\\): stop it`));
  assert.ok(refused.isThere);

  first.child.stdin.end();
  await first.ended;
  assert.match(clean(folder).stderr, new RegExp(`\\(process ${second.child.pid}\\)`));

  second.child.stdin.end();
  await second.ended;
  assert.deepEqual(clean(folder), { status: 0, stderr: "", isThere: false });
  assert.equal(clean(folder).status, 0, "and again, with nothing there");
});

test("a command that was killed does not stand in the way, even if its number is another's now", async (t) => {
  const folder = project(t);
  const { child, ended } = await startIn(folder);
  child.kill("SIGKILL");
  await ended;
  const anothers = join(folder, "dist/.running", String(process.pid));
  writeFileSync(anothers, "");
  const longAgo = new Date(Date.now() - 120_000);
  utimesSync(anothers, longAgo, longAgo);
  assert.deepEqual(clean(folder), { status: 0, stderr: "", isThere: false });
});
