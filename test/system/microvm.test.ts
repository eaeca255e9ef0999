/** The three images that are published, booted: the network's way as far as a machine without Firecracker goes. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, openSync, readSync, writeSync, closeSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import type { StageEvent } from "../../deploy/commands/events.ts";
import { SquashfsReader, type FileEntry } from "../../deploy/image/read-squashfs.ts";
import { RUNTIME_FILES } from "../../deploy/image/runtime-files.ts";
import type { ProgramFiles, RunningProgram } from "../../deploy/local/backends/backend.ts";
import { createMicrovmBackend, prepareMachine } from "../../deploy/local/backends/microvm/microvm.ts";
import { exchangeWithGuest } from "../../deploy/local/guest-connection.ts";
import { prepareKernel } from "../../deploy/parts/kernel.ts";
import { parseFileHash, parseItemHash } from "../../src/domain/hash.ts";
import { encodeRunRequest, parseAnswer } from "../../src/guest/protocol.ts";
import { neededLibraries } from "../support/elf.ts";
import { runCommand } from "../support/commands.ts";
import { pythonWithOpenai } from "../support/python.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { processesNaming, UpProcess } from "../support/up-process.ts";
import { cannotBuildRuntime, VM_PACKAGES } from "../support/vm-packages.ts";

const ANSWER = "This is a test.";
const BUDGET_BYTES = 60 * 1024 * 1024;

const root = fileURLToPath(new URL("../../../", import.meta.url));
const scratch = scratchDirectory();
const home = join(scratch, "home");
const env = { PINFERENCE_DATA_DIR: home, PINFERENCE_PACKAGES_DIR: VM_PACKAGES };

function without(program: string, args: readonly string[], missing: string): string | false {
  return spawnSync(program, args, { stdio: "ignore", timeout: 60_000 }).status !== 0 && missing;
}

const cannotBuild =
  cannotBuildRuntime() ||
  without("apt-cache", ["show", "busybox-static"], "apt has no list of packages: apt-get update");
const cannotBoot = cannotBuild || without("qemu-system-x86_64", ["--version"], "needs qemu-system-x86_64");

/** Built once for all tests of this file. */
let images: ReturnType<typeof buildImages> | undefined;
async function buildImages() {
  const done = await runCommand(["image", "build", "demo"], env);
  assert.equal(done.code, 0, JSON.stringify(done));
  const stages = done.events.filter((event): event is StageEvent => event.event === "stage");
  return new Map(stages.map((event) => [event.stage, event]));
}

async function imageNamed(stage: string) {
  images ??= buildImages();
  const image = (await images).get(stage);
  assert.ok(image?.sha256 !== undefined && image.bytes !== undefined && image.detail !== undefined, stage);
  return { path: image.detail, sha256: image.sha256, bytes: image.bytes };
}

async function readRuntime<Result>(use: (image: SquashfsReader) => Promise<Result>): Promise<Result> {
  const image = await SquashfsReader.open((await imageNamed("runtime")).path);
  try {
    return await use(image);
  } finally {
    await image.close();
  }
}

test("the runtime holds the files that have a reason, and no others", { skip: cannotBuild }, async () => {
  const expected = new Map(RUNTIME_FILES.map(({ path, why }) => [path, why]));
  for (const [path, why] of expected) assert.ok(why.length >= 4, path);
  const parents = new Set(
    [...expected.keys()].flatMap((path) => path.split("/").map((_, at, all) => all.slice(0, at).join("/"))),
  );
  await readRuntime(async (image) => {
    const found = [...image.entries()];
    const files = found.filter(({ kind, path }) => kind !== "directory" || expected.has(path)).map(({ path }) => path);
    assert.deepEqual(files.toSorted(), [...expected.keys()].toSorted());
    for (const { kind, path, mode } of found) {
      assert.ok(expected.has(path) || (kind === "directory" && parents.has(path)), path);
      assert.equal(mode & 0o7000, 0, `${path} has a set-user-id, set-group-id or sticky bit`);
      if (kind !== "symlink") assert.equal(mode & 0o022, 0, `${path} can be written by others`);
      assert.doesNotMatch(
        path,
        /(?:^|\/)(?:sshd?|apt|dpkg|npm|pip|gcc|cc|ld|as|make|perl|python|sudo|su)[\d.]*$/,
        path,
      );
    }
  });
});

test("every program of the runtime finds its libraries in it", { skip: cannotBuild }, async () => {
  await readRuntime(async (image) => {
    const files = [...image.entries()].filter((entry): entry is FileEntry => entry.kind === "file");
    const names = new Set(files.map(({ path }) => path.slice(path.lastIndexOf("/") + 1)));
    let checked = 0;
    for (const file of files) {
      const pieces: Buffer[] = [];
      for await (const piece of image.readFile(file)) pieces.push(piece);
      const needed = neededLibraries(Buffer.concat(pieces));
      if (needed === undefined) continue;
      checked += 1;
      for (const library of needed) assert.ok(names.has(library), `${file.path} needs ${library}`);
    }
    assert.ok(checked >= 20, `${checked} programs and libraries`);
  });
});

test("runtime and code volume together keep to their budget", { skip: cannotBuild }, async () => {
  const bytes = (await imageNamed("runtime")).bytes + (await imageNamed("code volume")).bytes;
  assert.ok(bytes <= BUDGET_BYTES, `${bytes} bytes of at most ${BUDGET_BYTES}`);
});

test(
  "up --vm boots the images and answers three clients; killed, it leaves no machine",
  { skip: cannotBoot },
  async (t) => {
    const { sha256 } = await imageNamed("runtime");
    const up = new UpProcess(home, ["--vm", "--as-network"], { env, longestMs: 600_000 });
    const { models } = await up.ready();
    const { baseUrl } = models[0]!;
    assert.equal((await up.stage("runtime")).sha256, sha256);
    const python = pythonWithOpenai();
    for (const [name, program, file, skip] of [
      ["Python's openai", python.path, "examples/chat.py", python.missing],
      ["JavaScript's openai", process.execPath, "examples/chat.mjs", false],
      ["curl", "sh", "examples/chat.sh", without("curl", ["--version"], "needs curl")],
    ] as const) {
      await t.test(`an example with ${name}`, { skip }, () => {
        const stdout = execFileSync(program, [file, baseUrl], { cwd: root, encoding: "utf8", timeout: 300_000 });
        assert.match(stdout, new RegExp(ANSWER));
      });
    }
    await t.test("through the supervisor's rules: a 404 arrives as a 400 with the same error object", async () => {
      const response = await fetch(`${baseUrl}/nothing-here`);
      assert.equal(response.status, 400);
      assert.equal(((await response.json()) as { error: { code: string } }).error.code, "not_found");
    });
    await t.test("two hundred requests at once: each is answered, or told when to come again", async () => {
      const ask = async () => {
        const response = await fetch(`${baseUrl}/models`);
        await response.arrayBuffer();
        const isLater = [429, 503].includes(response.status) && response.headers.has("retry-after");
        return isLater ? "later" : response.status;
      };
      const outcomes = await Promise.all(Array.from({ length: 200 }, ask));
      assert.deepEqual(
        outcomes.filter((outcome) => outcome !== 200 && outcome !== "later"),
        [],
      );
      assert.ok(outcomes.includes(200));
    });
    assert.ok(processesNaming(join(home, "node")).length > 0);
    up.child.kill("SIGKILL");
    await up.ended();
    for (let tries = 0; processesNaming(join(home, "node")).length > 0 && tries < 100; tries += 1) await delay(100);
    assert.deepEqual(processesNaming(join(home, "node")), []);
  },
);

/** A copy with one bit changed. */
function tampered(path: string, name: string, at: number): string {
  const copy = join(scratch, `tampered-${name}`);
  copyFileSync(path, copy);
  const file = openSync(copy, "r+");
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, at);
  byte[0] = (byte[0] as number) ^ 1;
  writeSync(file, byte, 0, 1, at);
  closeSync(file);
  return copy;
}

/** The answer once the guest neither starts nor checks any more. */
async function finalAnswer({ connect }: RunningProgram): Promise<{ status: number; text: string }> {
  const body = Buffer.from(
    JSON.stringify({ messages: [{ role: "user", content: "Say this is a test" }], temperature: 0 }),
  );
  const headers = [["content-type", "application/json"]] as const;
  const request = encodeRunRequest({ method: "POST", path: "/v1/chat/completions", queryString: "", headers, body });
  for (;;) {
    const exchanged = await exchangeWithGuest(connect, request, 300_000);
    assert.ok(exchanged.kind === "answer", exchanged.kind);
    const answer = parseAnswer(exchanged.bytes);
    assert.ok("status" in answer);
    if (answer.status !== 503) return { status: answer.status, text: Buffer.from(answer.body).toString() };
    await delay(500);
  }
}

test(
  "one changed bit in a volume is named and nothing is answered; in the runtime, nobody notices",
  { skip: cannotBoot },
  async (t) => {
    const [runtime, code, model] = [
      await imageNamed("runtime"),
      await imageNamed("code volume"),
      await imageNamed("model volume"),
    ];
    const licence = await readRuntime((image) =>
      Promise.resolve([...image.entries()].find(({ path }) => path === "usr/share/doc/node/LICENSE") as FileEntry),
    );
    const signal = new AbortController().signal;
    mkdirSync(join(scratch, "vm"));
    const machine = await prepareMachine((abort) => prepareKernel(root, VM_PACKAGES, abort), signal);
    const backend = createMicrovmBackend(machine, join(scratch, "vm"));
    const itemHash = parseItemHash("c".repeat(64));
    const program = (paths: { runtime: string; code: string; model: string }): ProgramFiles => {
      const file = (path: string) => ({ path, fileHash: parseFileHash("0".repeat(64)) });
      return {
        itemHash,
        runtime: file(paths.runtime),
        code: { ...file(paths.code), entrypoint: "src/main.js", mount: "/opt/code" },
        volumes: [{ ...file(paths.model), mount: "/models/0" }],
        variables: {
          PINFERENCE_MODEL: "/models/0/aleph-tiny-chat.Q8_0.gguf",
          PINFERENCE_CODE_SHA256: code.sha256,
          PINFERENCE_MODEL_SHA256: model.sha256,
        },
        resources: { vcpus: 2, memoryMiB: 768, seconds: 290 },
      };
    };
    const whole = { runtime: runtime.path, code: code.path, model: model.path };
    const changed = {
      runtime: tampered(runtime.path, "runtime", licence.start + 1000),
      code: tampered(code.path, "code", Math.floor(code.bytes / 2)),
      model: tampered(model.path, "model", Math.floor(model.bytes / 2)),
    };
    for (const [what, paths, mount] of [
      ["the code volume", { ...whole, code: changed.code }, "/opt/code"],
      // This runtime boots and checks the others all the same: of itself it knows nothing. Only its hash tells.
      [
        "the model volume, under a changed runtime",
        { ...whole, runtime: changed.runtime, model: changed.model },
        "/models/0",
      ],
    ] as const) {
      await t.test(what, async () => {
        const running = await backend.start(program(paths), signal);
        try {
          const { status, text } = await finalAnswer(running);
          assert.equal(status, 500, text);
          const { error } = JSON.parse(text) as { error: { code: string; message: string } };
          assert.equal(error.code, "hash_mismatch");
          assert.match(error.message, new RegExp(mount));
        } finally {
          await running.stop();
        }
        assert.equal(await running.exited, "ended with status 0");
      });
    }
  },
);
