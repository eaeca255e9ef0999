import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { acquireLock } from "../../deploy/lock.ts";

let directory = "";
beforeEach(() => void (directory = mkdtempSync(join(tmpdir(), "pinference-lock-"))));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test("a second holder is refused with the first one's pid and what to do", async () => {
  const release = await acquireLock(directory);
  await assert.rejects(acquireLock(directory), (error: Error & { code?: string; details?: object }) => {
    assert.equal(error.code, "already_running");
    assert.deepEqual(error.details, { pid: process.pid });
    assert.match(error.message, new RegExp(`process ${process.pid}.*--data-dir`));
    return true;
  });
  await release();
  assert.deepEqual(readdirSync(directory), []);
});

test("the lock of a process that is gone is taken over", async () => {
  // Above the largest process number of any system.
  writeFileSync(join(directory, "lock"), JSON.stringify({ pid: 2 ** 30, started: "1", token: "theirs" }));
  const release = await acquireLock(directory);
  assert.match(readFileSync(join(directory, "lock"), "utf8"), new RegExp(`"pid":${process.pid},`));
  await release();
  assert.deepEqual(readdirSync(directory), []);
});

test("a process number given out again does not keep the lock", { skip: process.platform !== "linux" }, async () => {
  for (const pid of [process.pid, process.ppid]) {
    writeFileSync(join(directory, "lock"), JSON.stringify({ pid, started: "an earlier life", token: "theirs" }));
    await (
      await acquireLock(directory)
    )();
  }
});

test("a damaged lock is taken over", async () => {
  for (const text of ["", "{", "null", '{"pid":"x"}', '{"pid":0}']) {
    writeFileSync(join(directory, "lock"), text);
    await (
      await acquireLock(directory)
    )();
    assert.deepEqual(readdirSync(directory), []);
  }
});

test("of many that want it at once, one gets it", async () => {
  writeFileSync(join(directory, "lock"), JSON.stringify({ pid: 2 ** 30, started: "1", token: "theirs" }));
  const results = await Promise.allSettled(Array.from({ length: 20 }, () => acquireLock(directory)));
  assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
  assert.deepEqual(readdirSync(directory), ["lock"]);
});

test("a release leaves the lock of a later holder alone", async () => {
  const release = await acquireLock(directory);
  rmSync(join(directory, "lock"));
  const later = await acquireLock(directory);
  await release();
  assert.deepEqual(readdirSync(directory), ["lock"]);
  await later();
});

test("a holder on another machine counts as alive as long as its heart beats", async () => {
  const path = join(directory, "lock");
  writeFileSync(path, JSON.stringify({ pid: 2 ** 30, host: "elsewhere.example", started: "1", token: "theirs" }));
  await assert.rejects(acquireLock(directory), { code: "already_running" });
  const longAgo = new Date(Date.now() - 121_000);
  utimesSync(path, longAgo, longAgo);
  await (
    await acquireLock(directory)
  )();
  assert.deepEqual(readdirSync(directory), []);
});

test("a holder shows that it lives, and no longer when it has let go", async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const path = join(directory, "lock");
  const release = await acquireLock(directory);
  const longAgo = new Date(Date.now() - 3_600_000);
  utimesSync(path, longAgo, longAgo);
  t.mock.timers.tick(15_000);
  for (let tries = 0; tries < 100 && Date.now() - statSync(path).mtimeMs > 60_000; tries++) await sleep(20);
  assert.ok(Date.now() - statSync(path).mtimeMs < 60_000);
  await release();
  writeFileSync(path, "");
  utimesSync(path, longAgo, longAgo);
  t.mock.timers.tick(30_000);
  await sleep(50);
  assert.ok(Date.now() - statSync(path).mtimeMs > 3_000_000);
});
