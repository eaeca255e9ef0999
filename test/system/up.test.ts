import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdirSync, readdirSync, truncateSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { basename, join } from "node:path";
import { test } from "node:test";

import type { ReadyModel } from "../../deploy/commands/events.ts";
import { makeGguf } from "../support/gguf-maker.ts";
import { DEMO_BYTES, demoModelPath } from "../support/demo-model.ts";
import { programOf, sign, stranger } from "../deploy/local/ccn-harness.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { mountTmpfs } from "../support/tmpfs.ts";
import { processesNaming, UpProcess } from "../support/up-process.ts";

const ANSWER = "This is a test.";
const needsLinux = process.platform !== "linux" && "needs /proc to see processes";

const scratch = scratchDirectory();
/** Shared by the tests that need a node with artefacts in it; they run one after the other. */
const home = join(scratch, "home");

interface Answer {
  readonly choices?: readonly { readonly message: { readonly content: string } }[];
  readonly error?: { readonly message: string; readonly code: string };
}

async function ask({ baseUrl, model }: ReadyModel): Promise<{ status: number; body: Answer }> {
  const response = await fetch(`${baseUrl}/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model, messages: [{ role: "user", content: "Say this is a test" }], temperature: 0 }),
  });
  return { status: response.status, body: (await response.json()) as Answer };
}

async function textOf(model: ReadyModel): Promise<string | undefined> {
  return (await ask(model)).body.choices?.[0]?.message.content;
}

/** The URL below the node, whose port differs from run to run. */
function pathsOf(models: readonly ReadyModel[]): readonly string[] {
  return models.map(({ baseUrl }) => new URL(baseUrl).pathname);
}

function assertNothingLeft(dataDir: string): void {
  assert.deepEqual(processesNaming(dataDir), []);
  const files = readdirSync(dataDir, { recursive: true, encoding: "utf8" });
  assert.deepEqual(
    files.filter((file) => /\.part\b/.test(file) || basename(file) === "lock"),
    [],
  );
  assert.deepEqual(readdirSync(join(dataDir, "build")), []);
}

test("from nothing to an answer, then Ctrl-C: exit code 130 and nothing left", async () => {
  const up = new UpProcess(home);
  const { models, index } = await up.ready();
  assert.deepEqual(up.stages, [
    "data directory ready",
    "local node started",
    "key throwaway",
    "model checked",
    "runtime built",
    "code volume built",
    "model volume built",
    "program published",
    "program answers",
  ]);
  const [model] = models;
  assert.ok(model);
  assert.equal(await textOf(model), ANSWER);
  assert.match(await (await fetch(index)).text(), new RegExp(model.itemHash));
  assert.equal(await up.interrupt(), 130);
  assert.deepEqual(up.events.at(-1), { event: "stopped", exitCode: 130 });
  assert.equal(up.stderr, "");
  assertNothingLeft(home);
});

test("a second run reuses every artefact and the URL", async () => {
  const first = new UpProcess(home, ["--check"]);
  const { models } = await first.ready();
  assert.equal(await first.ended(), 0);
  assert.deepEqual(first.stages.slice(4, 8), [
    "runtime cached",
    "code volume cached",
    "model volume cached",
    "program cached",
  ]);
  const again = new UpProcess(home, ["--check"]);
  assert.deepEqual(pathsOf((await again.ready()).models), pathsOf(models));
  await again.ended();
});

test("two models answer at two URLs of one node, and a second up is refused meanwhile", async () => {
  const other = join(scratch, "Other Model.gguf");
  copyFileSync(demoModelPath, other);
  const up = new UpProcess(home, ["demo", other]);
  const { models, index } = await up.ready();
  assert.deepEqual(
    models.map(({ model }) => model),
    ["aleph-tiny-chat", "other-model"],
  );
  assert.deepEqual(await Promise.all(models.map(textOf)), [ANSWER, ANSWER]);
  const page = await (await fetch(index)).text();
  for (const { itemHash } of models) assert.ok(page.includes(itemHash));

  const refused = new UpProcess(home);
  assert.equal(await refused.ended(), 1);
  assert.equal(refused.error?.code, "already_running");
  assert.match(refused.error?.message ?? "", new RegExp(`process ${up.child.pid}\\b`));

  assert.equal(await up.interrupt(), 130);
  assertNothingLeft(home);
});

test("a stranger may publish, and is not run; nor is a web page let in", async () => {
  const up = new UpProcess(home);
  const { models, index } = await up.ready();
  const message = await fetch(`${index}api/v0/messages/${models[0]?.itemHash}`);
  const { code } = ((await message.json()) as { message: { content: { code: { ref: string } } } }).message.content;
  const body = JSON.stringify({
    sync: true,
    message: await sign("PROGRAM", programOf(code.ref), { signer: stranger }),
  });
  const post = async (headers: Record<string, string>) =>
    fetch(`${index}api/v0/messages`, { method: "POST", headers, body });
  assert.equal((await post({ origin: "https://evil.example", "content-type": "text/plain" })).status, 403);
  assert.equal((await post({ "content-type": "application/json" })).status, 200);
  const { item_hash: foreign } = (JSON.parse(body) as { message: { item_hash: string } }).message;
  const answer = await fetch(`${index}vm/${foreign}/`);
  assert.equal(answer.status, 403);
  assert.match(await answer.text(), new RegExp(`signed by ${stranger.address}`));
  assert.equal(await up.interrupt(), 130);
});

test(
  "a program killed during a request gives a clear error, and the next request works",
  { skip: needsLinux },
  async () => {
    const up = new UpProcess(home);
    const [model] = (await up.ready()).models;
    assert.ok(model);
    const [pid, ...more] = processesNaming(join(home, "node", "volumes"));
    assert.ok(pid !== undefined && more.length === 0, "one program runs");
    // Stopped first, so that the request is certainly under way when the program dies.
    process.kill(pid, "SIGSTOP");
    const asked = ask(model);
    await new Promise((resolve) => void setTimeout(resolve, 300));
    process.kill(pid, "SIGKILL");
    const { status, body } = await asked;
    assert.ok(status >= 500, `status ${status}`);
    assert.match(body.error?.message ?? "", /\w+ \w+/);
    assert.equal(await textOf(model), ANSWER);
    assert.equal(await up.interrupt(), 130);
    assertNothingLeft(home);
  },
);

test("Ctrl-C at any stage leaves no process and nothing half-written, and the next run goes on", async () => {
  const dataDir = join(scratch, "interrupted");
  for (const stage of ["data directory", "local node", "model", "runtime", "code volume", "program"]) {
    const up = new UpProcess(dataDir);
    await up.stage(stage);
    assert.equal(await up.interrupt(), 130, stage);
    assert.deepEqual(up.events.at(-1), { event: "stopped", exitCode: 130 }, stage);
    assertNothingLeft(dataDir);
  }
  const up = new UpProcess(dataDir, ["--check"]);
  assert.equal(await up.ended(), 0);
  assert.ok(up.stages.includes("code volume cached"));
});

test("a killed up leaves no program behind, and the next one takes over", { skip: needsLinux }, async () => {
  const up = new UpProcess(home);
  await up.ready();
  up.child.kill("SIGKILL");
  await up.ended();
  for (let wait = 0; wait < 50 && processesNaming(home).length > 0; wait += 1) {
    await new Promise((resolve) => void setTimeout(resolve, 100));
  }
  assert.deepEqual(processesNaming(home), []);
  assert.equal(await new UpProcess(home, ["--check"]).ended(), 0);
});

interface Refusal {
  readonly args: (directory: string) => readonly string[];
  readonly code: string;
  readonly exitCode: number;
  readonly message: RegExp;
}

const REFUSALS: Record<string, Refusal> = {
  "a missing file": {
    args: (directory) => [join(directory, "nowhere.gguf")],
    code: "model_file_missing",
    exitCode: 1,
    message: /no model file at .*nowhere\.gguf/,
  },
  "a truncated GGUF": {
    args(directory) {
      const path = join(directory, "short.gguf");
      copyFileSync(demoModelPath, path);
      truncateSync(path, DEMO_BYTES - 1000);
      return [path];
    },
    code: "model_file_invalid",
    exitCode: 1,
    message: /short\.gguf/,
  },
  "a GGUF with a hostile header": {
    args(directory) {
      const path = join(directory, "hostile.gguf");
      writeFileSync(path, makeGguf({ tensorCount: 2n ** 60n }));
      return [path];
    },
    code: "model_file_invalid",
    exitCode: 1,
    message: /hostile\.gguf/,
  },
  "a text file named .gguf": {
    args(directory) {
      const path = join(directory, "text.gguf");
      writeFileSync(path, "just some words\n".repeat(100));
      return [path];
    },
    code: "model_file_invalid",
    exitCode: 1,
    message: /text\.gguf/,
  },
  "an unknown name": {
    args: () => ["aleph-tiny-chta"],
    code: "catalogue_unknown",
    exitCode: 1,
    message: /Did you mean "aleph-tiny-chat"/,
  },
  "an option out of range": {
    args: () => ["--slots", "0"],
    code: "usage",
    exitCode: 2,
    message: /--slots/,
  },
};

for (const [what, { args, code, exitCode, message }] of Object.entries(REFUSALS)) {
  test(`${what} is refused with ${code}`, async () => {
    const directory = join(scratch, code);
    mkdirSync(directory, { recursive: true });
    const up = new UpProcess(join(scratch, "refusing"), args(directory));
    assert.equal(await up.ended(), exitCode);
    assert.equal(up.error?.code, code);
    assert.match(up.error?.message ?? "", message);
    assert.equal(up.stderr, "");
    assert.ok(!existsSync(join(scratch, "refusing", "lock")));
  });
}

test("a port in use is told before anything is built", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => void server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  const up = new UpProcess(join(scratch, "refusing"), ["--port", String(port)]);
  assert.equal(await up.ended(), 1);
  assert.equal(up.error?.code, "port_in_use");
  assert.match(up.error?.message ?? "", /--port/);
  assert.deepEqual(up.stages, ["data directory ready"]);
  server.close();
});

test("a file where the data directory should be is told", async () => {
  const path = join(scratch, "a-file");
  writeFileSync(path, "");
  const up = new UpProcess(path);
  assert.equal(await up.ended(), 1);
  assert.equal(up.error?.code, "data_directory");
  assert.match(up.error?.message ?? "", /--data-dir/);
});

for (const [what, options, code] of [
  ["a read-only disk", "ro", "data_directory"],
  ["a full disk", "size=1m", "disk_full"],
] as const) {
  test(`${what} is told as ${code}, with nothing half-written`, async (t) => {
    const path = join(scratch, code);
    const mount = mountTmpfs(path, options);
    if (typeof mount === "string") return t.skip(mount);
    try {
      const up = new UpProcess(path);
      assert.equal(await up.ended(), 1);
      assert.equal(up.error?.code, code);
      assert.ok(up.error?.message.includes(path));
      assert.match(up.error?.message ?? "", /--data-dir/);
      if (code === "disk_full") assertNothingLeft(path);
    } finally {
      mount.unmount();
    }
  });
}
