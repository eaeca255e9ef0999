import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { inspectModelFile } from "../../../deploy/catalogue/inspect-model-file.ts";
import type { TransferProgress } from "../../../deploy/catalogue/transfer-rate.ts";
import { DEMO_BYTES, demoModelPath, DEMO_SHA256 } from "../../support/demo-model.ts";
import { scratchDirectory } from "../../support/scratch.ts";

const directory = scratchDirectory();

test("the demo model has its README's hash, and progress ends with all bytes", async () => {
  const seen: TransferProgress[] = [];
  const { sha256, bytes, header } = await inspectModelFile(demoModelPath, {
    onProgress: (progress) => seen.push(progress),
  });
  assert.equal(sha256, DEMO_SHA256);
  assert.equal(bytes, DEMO_BYTES);
  assert.equal(header.name, "Aleph Tiny Chat");
  assert.equal(seen.at(-1)?.doneBytes, DEMO_BYTES);
  assert.equal(seen.at(-1)?.totalBytes, DEMO_BYTES);
});

test("a hash is remembered until the file changes", async () => {
  const cacheDirectory = join(directory, "cache", "below");
  const path = join(directory, "model.gguf");
  copyFileSync(demoModelPath, path);
  let reads = 0;
  const inspect = () => inspectModelFile(path, { cacheDirectory, onProgress: () => reads++ });

  assert.equal((await inspect()).sha256, DEMO_SHA256);
  assert.ok(reads > 0);
  reads = 0;
  assert.equal((await inspect()).sha256, DEMO_SHA256);
  assert.equal(reads, 0);

  // Same size, other bytes, other time.
  const bytes = readFileSync(path);
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
  writeFileSync(path, bytes);
  utimesSync(path, new Date(), new Date(statSync(path).mtimeMs + 5000));
  assert.notEqual((await inspect()).sha256, DEMO_SHA256);
});

test("a damaged cache, or one that cannot be written, is none", async () => {
  const damaged = join(directory, "damaged");
  mkdirSync(damaged);
  writeFileSync(join(damaged, "sha256-cache.json"), '{"half');
  assert.equal((await inspectModelFile(demoModelPath, { cacheDirectory: damaged })).sha256, DEMO_SHA256);
  assert.match(readFileSync(join(damaged, "sha256-cache.json"), "utf8"), new RegExp(DEMO_SHA256));

  const file = join(directory, "file");
  writeFileSync(file, "");
  assert.equal((await inspectModelFile(demoModelPath, { cacheDirectory: join(file, "x") })).sha256, DEMO_SHA256);
});

test("an abort ends the hashing", async () => {
  const aborter = new AbortController();
  const inspecting = inspectModelFile(demoModelPath, { signal: aborter.signal, onProgress: () => aborter.abort() });
  await assert.rejects(inspecting, { code: "interrupted" });
});
