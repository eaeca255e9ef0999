import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from "node:fs";
import { createServer } from "node:net";
import { availableParallelism, tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { removeAbandoned } from "../../../../deploy/local/backends/program-directory.ts";
import { ProgramLog } from "../../../../deploy/local/backends/program-log.ts";
import { createProcessBackend } from "../../../../deploy/local/backends/process.ts";
import { alwaysIntact, extractByCopy, isAlive, startPrograms } from "../../../support/local-programs.ts";

interface Environment {
  readonly env: Record<string, string>;
  readonly cwd: string;
}

test("nothing of the node's environment but PATH reaches a program, and its variables replace nothing", async (t) => {
  process.env["ALEPH_PRIVATE_KEY"] = "0xsecret";
  t.after(() => delete process.env["ALEPH_PRIVATE_KEY"]);
  const { publish, url } = await startPrograms(t);
  const forbidden = {
    PATH: "/evil",
    NODE_OPTIONS: "--require /evil.js",
    NODE_ENV: "development",
    LD_PRELOAD: "/evil.so",
    DYLD_INSERT_LIBRARIES: "/evil.dylib",
    UV_THREADPOOL_SIZE: "64",
    PINFERENCE_SOCKET: "/evil.sock",
    PINFERENCE_ROOT: "/evil",
    PINFERENCE_THREADS: "64",
    PINFERENCE_MEMORY_MIB: "64",
    PINFERENCE_EXIT_WITH_PARENT: "0",
    "lower-case": "x",
  };
  const program = publish({
    variables: { ...forbidden, PINFERENCE_MODEL: "qwen3", TZ: "UTC" },
    resources: { vcpus: 99 },
  });
  const { env, cwd } = (await (await fetch(url(program, "/env"))).json()) as Environment;
  const { PINFERENCE_SOCKET: socket = "", PINFERENCE_ROOT: root = "", ...rest } = env;
  assert.deepEqual(rest, {
    PATH: process.env["PATH"],
    NODE_ENV: "production",
    UV_THREADPOOL_SIZE: "1",
    PINFERENCE_THREADS: String(availableParallelism()),
    PINFERENCE_MEMORY_MIB: "1024",
    PINFERENCE_EXIT_WITH_PARENT: "1",
    PINFERENCE_MODEL: "qwen3",
    TZ: "UTC",
  });
  assert.equal(cwd, root);
  assert.ok(Buffer.byteLength(socket) < 104);
  assert.equal(statSync(dirname(socket)).mode & 0o777, 0o700);
});

test("a volume is extracted once, and a program's directory goes with it", async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), "process-backend-"));
  t.after(() => rmSync(dataDir, { recursive: true, force: true }));
  let extractions = 0;
  const backend = createProcessBackend({
    dataDir,
    graceMs: 500,
    isIntact: alwaysIntact,
    asNetwork: false,
    extract: async (...image) => {
      extractions += 1;
      await extractByCopy(...image);
    },
  });
  const { node, publish, url } = await startPrograms(t, { backend });
  const [first, second] = [publish(), publish()];
  const [{ env }] = (await Promise.all(
    [first, second].map(async (program) => (await fetch(url(program, "/env"))).json()),
  )) as [Environment, Environment];
  assert.equal(extractions, 2);
  const directory = dirname(env["PINFERENCE_SOCKET"] ?? "");
  assert.ok(existsSync(directory));
  await node.stop();
  assert.ok(!existsSync(directory));
  assert.ok(existsSync(join(dataDir, "logs", `${first}.log`)));
});

test("a program that is never ready is given up, ended, and told by name", async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), "process-backend-"));
  t.after(() => rmSync(dataDir, { recursive: true, force: true }));
  const backend = createProcessBackend({
    dataDir,
    extract: extractByCopy,
    isIntact: alwaysIntact,
    asNetwork: false,
    readyMs: 300,
    graceMs: 200,
  });
  const programs = await startPrograms(t, { backend });
  const startsFile = join(programs.dataDir, "starts");
  const variables = { PINFERENCE_TEST_CRASH: "never-ready", PINFERENCE_TEST_STARTS: startsFile };
  const response = await fetch(programs.url(programs.publish({ variables }), "/pid"));
  assert.equal(response.status, 500);
  assert.match(await response.text(), /accepted no connection within 0.3 s/);
  assert.equal(isAlive(Number(readFileSync(startsFile, "utf8"))), false);
});

test("directories that killed nodes left are removed, those of live or new programs are not", async (t) => {
  const parent = mkdtempSync(join(tmpdir(), "sweep-"));
  t.after(() => rmSync(parent, { recursive: true, force: true }));
  const [stale, fresh, live, other] = ["pinference-run-a", "pinference-run-b", "pinference-run-c", "other"].map(
    (name) => {
      const directory = join(parent, name);
      mkdirSync(directory);
      return directory;
    },
  ) as [string, string, string, string];
  const server = createServer().listen(join(live, "s"));
  t.after(() => server.close());
  await delay(20);
  for (const directory of [stale, live, other]) utimesSync(directory, 0, 0);
  await removeAbandoned(parent);
  assert.deepEqual(readdirSync(parent).toSorted(), [other, fresh, live].map((path) => basename(path)).toSorted());
});

test("programs end when the node is killed", async (t) => {
  const parent = spawn(process.execPath, [fileURLToPath(new URL("../../../support/doomed-node.js", import.meta.url))], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => parent.kill("SIGKILL"));
  const [dataDir = "", pidText] = await new Promise<string[]>((resolve) => {
    parent.stdout.once("data", (lines: Buffer) => resolve(String(lines).split("\n")));
  });
  t.after(() => rmSync(dataDir, { recursive: true, force: true }));
  const pid = Number(pidText);
  assert.equal(isAlive(pid), true);
  parent.kill("SIGKILL");
  for (let tries = 0; tries < 100 && isAlive(pid); tries += 1) await delay(20);
  assert.equal(isAlive(pid), false);
});

test("a log keeps its end in memory, and two files of bounded size", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "program-log-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, "logs/a.log");
  const log = new ProgramLog(path, 1000);
  for (let line = 0; line < 100; line += 1) {
    log.write(Buffer.from(`line ${String(line).padStart(3, "0")} ${"x".repeat(40)}\n`));
    await delay(1);
  }
  assert.match(log.lastLines(2), /^line 098 x+\nline 099 x+$/);
  log.close();
  await delay(50);
  assert.ok(statSync(path).size <= 1000);
  assert.ok(statSync(`${path}.1`).size <= 1000);
});
