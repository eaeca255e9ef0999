import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";

/** A directory of its own for one test file, removed when its tests have ended. */
export function scratchDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "pinference-test-"));
  after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
