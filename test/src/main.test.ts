import assert from "node:assert/strict";
import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";

import { demoModelPath } from "../support/demo-model.ts";

const main = fileURLToPath(new URL("../../src/main.js", import.meta.url));

interface Run {
  readonly child: ChildProcessByStdio<null, Readable, null>;
  /** Resolves with the first logged event of that name. */
  readonly event: (name: string) => Promise<Record<string, unknown>>;
}

function run(t: TestContext, env: Record<string, string>): Run {
  const child = spawn(process.execPath, [main], { env, stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  const seen: Record<string, unknown>[] = [];
  const lines = createInterface(child.stdout);
  lines.on("line", (line) => seen.push(JSON.parse(line) as Record<string, unknown>));
  return {
    child,
    async event(name) {
      for (;;) {
        const found = seen.find(({ event }) => event === name);
        if (found !== undefined) return found;
        await once(lines, "line");
      }
    },
  };
}

async function get(socketPath: string, path: string): Promise<{ status: number | undefined; body: string }> {
  const asking = request({ socketPath, path }).end();
  const [answer] = (await once(asking, "response")) as [Readable & { statusCode?: number }];
  return { status: answer.statusCode, body: await text(answer) };
}

test("a model that does not load leaves a server that says so, until it is told to stop", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "pinference-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const socket = join(directory, "server.sock");
  const env = { PINFERENCE_SOCKET: socket, PINFERENCE_ROOT: directory, PINFERENCE_MODEL: "/none.gguf" };
  for (const round of ["first", "after a kill that left the socket's file"]) {
    const { child, event } = run(t, env);
    assert.equal((await event("listening"))["socket"], socket, round);
    await event("warning");
    await event("load_failed");
    const answer = await get(socket, "/v1/models");
    assert.equal(answer.status, 500);
    assert.match(answer.body, /could not be loaded/);
    const exited = once(child, "exit");
    if (round === "first") {
      child.kill("SIGKILL");
      await exited;
    } else {
      child.kill("SIGTERM");
      assert.deepEqual(await exited, [0, null]);
    }
  }
});

test("a machine too small for its model leaves a server that says how much is missing", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "pinference-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const socket = join(directory, "server.sock");
  const { child, event } = run(t, {
    UV_THREADPOOL_SIZE: "1",
    PINFERENCE_SOCKET: socket,
    PINFERENCE_MODEL: demoModelPath,
    PINFERENCE_SLOTS: "4",
    PINFERENCE_MEMORY_MIB: "180",
  });
  await event("load_failed");
  for (const path of ["/v1/models", "/health"]) {
    const { status, body } = await get(socket, path);
    assert.equal(status, 500, path);
    const { error } = JSON.parse(body) as { error: { type: string; message: string } };
    assert.equal(error.type, "server_error");
    assert.match(error.message, /^The model could not be loaded, so no request can be answered\. This model with /);
    assert.match(error.message, /needs 1\d\d MiB: weights 3, .*; there are 180 MiB\. Give the program more memory/);
  }
  assert.equal(child.exitCode, null);
});

test("a wrong setting ends the process with an error that names it", async (t) => {
  const { child, event } = run(t, { PINFERENCE_MODEL: "/x.gguf", PINFERENCE_PORT: "none", UV_THREADPOOL_SIZE: "1" });
  const exited = once(child, "exit");
  assert.match(String((await event("start_failed"))["reason"]), /PINFERENCE_PORT must be an integer/);
  assert.deepEqual(await exited, [1, null]);
});
