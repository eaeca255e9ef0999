import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, test } from "node:test";

import { dataDirectoryPath, openDataDirectory, toDataDirectoryError } from "../../deploy/data-directory.ts";

let scratch = "";
beforeEach(() => void (scratch = mkdtempSync(join(tmpdir(), "pinference-data-"))));
afterEach(() => rmSync(scratch, { recursive: true, force: true }));

test("the option goes before the environment, the environment before the home directory", () => {
  assert.equal(dataDirectoryPath("a", { PINFERENCE_DATA_DIR: "/b" }), resolve("a"));
  assert.equal(dataDirectoryPath(undefined, { PINFERENCE_DATA_DIR: "/b" }), resolve("/b"));
  for (const env of [{}, { PINFERENCE_DATA_DIR: "" }]) {
    assert.equal(dataDirectoryPath(undefined, env), join(homedir(), ".pinference"));
  }
});

test("a missing directory is made with its parents, for the owner only, and nothing is left in it", async () => {
  const path = join(scratch, "a", "b");
  const directory = await openDataDirectory(path);
  assert.equal(directory.path, path);
  assert.deepEqual(readdirSync(path), []);
  if (process.platform !== "win32") assert.equal(statSync(path).mode & 0o777, 0o700);
});

test("a file in the way is named, with what to do", async () => {
  const file = join(scratch, "file");
  writeFileSync(file, "");
  for (const path of [file, join(file, "below")]) {
    await assert.rejects(openDataDirectory(path), (error: Error & { code?: string }) => {
      assert.equal(error.code, "data_directory");
      assert.match(error.message, /a file is in its place; give another one with --data-dir/);
      assert.ok(error.message.includes(path));
      return true;
    });
  }
});

test("a directory that cannot be made is named", { skip: !existsSync("/proc/1") && "needs /proc" }, async () => {
  await assert.rejects(openDataDirectory("/proc/pinference"), { code: "data_directory" });
});

const FAILURES = [
  [{ code: "EROFS", path: "/data/x" }, "data_directory", /read-only disk/],
  [{ code: "EACCES", path: "/data/models/y" }, "data_directory", /not yours to write/],
  [{ code: "ENOSPC" }, "disk_full", /no space is left for \/data/],
  [{ code: "EDQUOT", path: "/data/x" }, "disk_full", /--data-dir/],
] as const;

for (const [failure, code, message] of FAILURES) {
  test(`${failure.code} becomes ${code} with what to do`, () => {
    const error = toDataDirectoryError(Object.assign(new Error("failed"), failure), "/data");
    assert.equal(error?.code, code);
    assert.match(error?.message ?? "", message);
  });
}

test("failures elsewhere are not blamed on the data directory", () => {
  for (const failure of [{ code: "EACCES", path: "/models/x.gguf" }, { code: "ECONNRESET" }, {}]) {
    assert.equal(toDataDirectoryError(Object.assign(new Error("failed"), failure), "/data"), undefined);
  }
  assert.equal(toDataDirectoryError(undefined, "/data"), undefined);
});
