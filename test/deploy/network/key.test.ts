import assert from "node:assert/strict";
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { loadOrCreateKey } from "../../../deploy/network/key.ts";

const digits = "11".repeat(32);
let root = "";
before(async () => (root = await mkdtemp(join(tmpdir(), "key-"))));
after(() => rm(root, { recursive: true, force: true }));

test("the environment's key wins, with or without 0x", async () => {
  for (const text of [digits, `0x${digits}`, ` 0x${digits}\n`]) {
    const key = await loadOrCreateKey({ dataDir: join(root, "unused"), env: { ALEPH_PRIVATE_KEY: text } });
    assert.deepEqual(key, {
      privateKey: `0x${digits}`,
      address: "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A",
      source: "environment",
    });
  }
});

test("a malformed key is refused and never quoted", async () => {
  for (const text of [
    `0x${digits}f`,
    digits.slice(1),
    "correct horse battery staple",
    "0".repeat(64),
    "f".repeat(64),
  ]) {
    await assert.rejects(loadOrCreateKey({ dataDir: root, env: { ALEPH_PRIVATE_KEY: text } }), (error: Error) => {
      assert.equal((error as Error & { code?: string }).code, "key_invalid");
      assert.ok(!`${error.message}${error.stack}`.includes(text));
      return true;
    });
  }
});

test("a throwaway key is made once, readable by its owner only", async () => {
  const dataDir = join(root, "made", "here");
  const first = await loadOrCreateKey({ dataDir, env: {} });
  assert.match(first.privateKey, /^0x[0-9a-f]{64}$/);
  assert.deepEqual(await loadOrCreateKey({ dataDir, env: { ALEPH_PRIVATE_KEY: "" } }), first);
  assert.equal((await readFile(join(dataDir, "key"), "utf8")).trim(), first.privateKey);
  assert.deepEqual(await readdir(dataDir), ["key"]);
  if (process.platform === "win32") return;
  assert.equal((await stat(join(dataDir, "key"))).mode & 0o777, 0o600);
  assert.equal((await stat(dataDir)).mode & 0o777, 0o700);
});

test("processes that make the key at the same time agree on one", async () => {
  const dataDir = join(root, "together");
  const keys = await Promise.all(Array.from({ length: 8 }, () => loadOrCreateKey({ dataDir, env: {} })));
  assert.equal(new Set(keys.map((key) => key.privateKey)).size, 1);
});

test("a key that others may read is refused, with the way out", { skip: process.platform === "win32" }, async () => {
  const path = join(root, "key");
  await writeFile(path, digits);
  await chmod(path, 0o640);
  await assert.rejects(loadOrCreateKey({ dataDir: root, env: {} }), {
    code: "key_invalid",
    message: `other users of this machine may read the key: run chmod 600 ${path}`,
  });
  await chmod(path, 0o600);
  assert.equal((await loadOrCreateKey({ dataDir: root, env: {} })).privateKey, `0x${digits}`);
});
