import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { StateFiles } from "../../../src/engine/state-files.ts";

const shared = "/dev/shm";
const skip = StateFiles.open([shared]) === undefined && `${shared} is no file system in memory here`;

test("a file has no name that others could open, and is reached by its path until it is closed", { skip }, () => {
  const folder = mkdtempSync(join(shared, "pinference-test-"));
  try {
    const files = StateFiles.open([folder])!;
    const [one, other] = [files.create(), files.create()];
    assert.deepEqual(readdirSync(folder), []);
    writeFileSync(one.path, "a state");
    writeFileSync(other.path, "another");
    assert.equal(readFileSync(one.path, "utf8"), "a state");
    assert.equal(one.bytes, 7);
    writeFileSync(one.path, "less");
    assert.equal(one.bytes, 4);
    one.close();
    other.close();
    assert.ok(files.freeBytes > 0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
