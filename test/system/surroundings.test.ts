import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { scratchDirectory } from "../support/scratch.ts";
import { COMMAND, UpProcess } from "../support/up-process.ts";

const KEY = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318";
const ADDRESS = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23";

const scratch = scratchDirectory();

/** `pinference up` in a directory that has this `.env`. */
function upBeside(dotEnv: string, args: readonly string[] = ["--check"]) {
  const cwd = mkdtempSync(join(scratch, "cwd-"));
  writeFileSync(join(cwd, ".env"), dotEnv);
  const dataDir = join(cwd, "home");
  return { dataDir, up: new UpProcess(dataDir, args, { cwd }) };
}

function everythingIn(directory: string): string {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files.map((file) => readFileSync(join(file.parentPath, file.name), "latin1")).join("\n");
}

test("the key in .env signs, and is neither shown nor kept", async () => {
  const { up, dataDir } = upBeside(`ALEPH_PRIVATE_KEY=0x${KEY}\n`);
  assert.equal((await up.stage("key")).detail, ADDRESS);
  assert.equal((await up.stage("key")).outcome, "given");
  assert.equal(await up.ended(), 0);
  assert.ok(!existsSync(join(dataDir, "key")));
  const said = JSON.stringify(up.events) + up.stderr + everythingIn(dataDir);
  assert.ok(said.includes(ADDRESS));
  assert.ok(!said.toLowerCase().includes(KEY));
});

test("a malformed key in .env is refused before anything starts, and not shown", async () => {
  const { up, dataDir } = upBeside(`ALEPH_PRIVATE_KEY=0x${KEY}00\n`);
  assert.equal(await up.ended(), 1);
  assert.equal(up.error?.code, "key_invalid");
  assert.match(up.error?.message ?? "", /ALEPH_PRIVATE_KEY .*64 hexadecimal digits.* \.env/s);
  assert.deepEqual(up.stages, ["data directory ready"]);
  assert.ok(!(JSON.stringify(up.events) + up.stderr + everythingIn(dataDir)).includes(KEY));
});

test("the data directory of .env is used where none is given", () => {
  const cwd = mkdtempSync(join(scratch, "cwd-"));
  writeFileSync(join(cwd, ".env"), "PINFERENCE_DATA_DIR=./kept-here\n");
  const { PINFERENCE_DATA_DIR: _outer, ...env } = process.env;
  const { status, stderr } = spawnSync(process.execPath, [COMMAND, "up", "no-such-model", "--port", "0"], {
    cwd,
    env,
    encoding: "utf8",
  });
  assert.equal(status, 1, stderr);
  assert.ok(existsSync(join(cwd, "kept-here", "key")));
});

test("a reader that leaves early, such as head, is no failure", async () => {
  const up = new UpProcess(join(scratch, "piped"), ["--check"]);
  await once(up.child.stdout!, "data");
  up.child.stdout!.destroy();
  assert.equal(await up.ended(), 0);
  assert.equal(up.stderr, "");
});

test("without colours and bars where no terminal reads: plain lines of at most 80 letters until the URLs", () => {
  const { CI: _ci, ...env } = process.env;
  const args = ["up", "--check", "--port", "0", "--data-dir", join(scratch, "plain")];
  const { status, stdout, stderr } = spawnSync(process.execPath, [COMMAND, ...args], { encoding: "utf8", env });
  assert.equal(status, 0);
  assert.equal(stderr, "");
  assert.ok(!stdout.includes("\x1b"));
  const [stages = ""] = stdout.split("\n\n");
  const here = join(scratch, "plain");
  for (const line of stages.split("\n")) assert.ok(line.replace(here, "").length <= 80, line);
});
