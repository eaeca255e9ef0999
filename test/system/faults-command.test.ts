import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";

import { FAULTS } from "../../deploy/local/faults/fault-table.ts";
import { wallet } from "../deploy/local/ccn-harness.ts";
import { eventOf, runCommand, startNodeProcess } from "../support/commands.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { COMMAND } from "../support/up-process.ts";
import { cannotBuildRuntime, VM_PACKAGES } from "../support/vm-packages.ts";

const scratch = scratchDirectory();
const env = { PINFERENCE_DATA_DIR: join(scratch, "home") };

test("`pinference node --fault` starts a node that does so, as often as was said, and all at once", async (t) => {
  const faults = ["--fault", "balance:7", "--fault", "api-status:503*1"];
  const node = await startNodeProcess(join(scratch, "node"), ["--owner", wallet.address, ...faults], env);
  t.after(() => node.stop());
  const balance = `${node.url}/api/v0/addresses/${wallet.address}/balance`;
  assert.equal((await fetch(balance)).status, 503);
  const answer = (await (await fetch(balance)).json()) as { credit_balance: number };
  assert.equal(answer.credit_balance, 7);
});

test("no request can make a node do wrong that was started without faults", async (t) => {
  const node = await startNodeProcess(join(scratch, "sound"), ["--owner", wallet.address], env);
  t.after(() => node.stop());
  const headers = { fault: "down", "x-fault": "api-status:503", "x-pinference-fault": "down" };
  for (const path of ["storage/limits.json?fault=api-status:503", "messages.json?faults=down&fault=web-page"]) {
    assert.equal((await fetch(`${node.url}/api/v0/${path}`, { headers })).status, 200);
  }
  for (const path of ["faults", "fault", "api/v0/faults"]) {
    assert.equal((await fetch(`${node.url}/${path}`, { method: "POST", body: '["down"]' })).status, 404);
  }
  assert.equal((await fetch(`${node.url}/api/v0/storage/limits.json`)).status, 200);
});

test("a fault that there is not ends the command before anything starts; the help lists those that there are", async () => {
  const failed = await runCommand(["node", "--fault", "brokn"], env);
  assert.equal(failed.code, 2);
  assert.match(eventOf(failed, "error").message, /there is no fault "brokn"; `pinference node --help` lists them/);
  const help = spawnSync(process.execPath, [COMMAND, "node", "--help"], { encoding: "utf8" });
  for (const name of Object.keys(FAULTS)) assert.match(help.stdout, new RegExp(`^  ${name}(?::[A-Z]+)? `, "m"));
});

test(
  "a person reads the error and its advice in one line on the error output",
  { skip: cannotBuildRuntime() },
  async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    server.close();
    const args = ["plan", "demo", "--api-server", `http://127.0.0.1:${port}`, "--timeout", "1"];
    const done = spawnSync(process.execPath, [COMMAND, ...args], {
      encoding: "utf8",
      env: { ...process.env, ...env, PINFERENCE_PACKAGES_DIR: VM_PACKAGES },
    });
    assert.equal(done.status, 3, done.stderr);
    const said = `error: the node at http://127.0.0.1:${port} does not answer (ECONNREFUSED): check --api-server and the connection`;
    assert.ok(
      done.stderr.split("\n").some((line) => line.startsWith(said)),
      done.stderr,
    );
  },
);
