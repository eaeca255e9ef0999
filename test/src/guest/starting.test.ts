/** What a request is told while its program starts. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";

import { GuestProcess, sha256Of, SUCCESS } from "../../support/guest-process.ts";

const skip = process.platform === "win32" && "no named pipes";
const VOLUMES = [
  { mount: "/opt/code", device: "vdb", readOnly: true },
  { mount: "/models/0", device: "vdc", readOnly: true },
];
/** Image bytes that say of themselves that they are four times as many. */
const HEAD = Buffer.alloc(65_536);
HEAD.write("hsqs", "latin1");
HEAD.writeBigUInt64LE(BigInt(4 * HEAD.byteLength), 40);

async function refusal(guest: GuestProcess): Promise<Record<string, unknown>> {
  const { status, headers, text } = await guest.run("/pid");
  assert.equal(status, 503, text);
  assert.ok(Number(headers.find(([name]) => name === "retry-after")?.[1]) >= 1);
  const { error } = JSON.parse(text) as { error: Record<string, unknown> };
  assert.equal(error["code"], "model_loading");
  return error;
}

/** Its images are pipes: a check comes as far as the test writes. */
async function impatientGuest(t: TestContext, pipes: readonly string[]): Promise<GuestProcess> {
  const guest = new GuestProcess(t, { env: { PINFERENCE_GUEST_PATIENCE_MS: "300" } });
  for (const device of pipes) execFileSync("mkfifo", [guest.device(device)]);
  await guest.ready();
  return guest;
}

test("before a configuration, a request is told that there is none", { skip }, async (t) => {
  const error = await refusal(await impatientGuest(t, []));
  assert.equal(error["phase"], "configuration");
  assert.equal(error["progress"], undefined);
});

test("while a volume is checked, which, and how far that is where its size is known", { skip }, async (t) => {
  const guest = await impatientGuest(t, ["vdb0", "vdc"]);
  const variables = { PINFERENCE_CODE_SHA256: sha256Of("code"), PINFERENCE_MODEL_SHA256: sha256Of("model") };
  const volumes = VOLUMES.map((volume) => (volume.device === "vdb" ? { ...volume, device: "vdb0" } : volume));
  assert.equal(await guest.configure({ volumes, variables }), SUCCESS);
  const code = await refusal(guest);
  assert.equal(code["phase"], "code_check");
  assert.equal(code["message"], "The volume /opt/code is being checked.");
  const codePipe = await open(guest.device("vdb0"), "w");
  await codePipe.write("code");
  await codePipe.close();

  const modelPipe = await open(guest.device("vdc"), "w");
  await modelPipe.write(HEAD);
  let model = await refusal(guest);
  for (let tries = 0; model["phase"] !== "model_check" && tries < 100; tries += 1) model = await refusal(guest);
  assert.equal(model["phase"], "model_check");
  assert.equal(model["progress"], 0.25);
  assert.equal(model["message"], "The volume /models/0 is being checked (25 %).");
  await modelPipe.close();
});

test("while the server starts, that it does", { skip }, async (t) => {
  const guest = await impatientGuest(t, []);
  writeFileSync(join(guest.directory, "root/opt/code/src/idle.js"), "setInterval(() => {}, 1000);");
  assert.equal(await guest.configure({ entrypoint: "src/idle.js" }), SUCCESS);
  assert.deepEqual(
    [(await refusal(guest))["phase"], (await refusal(guest))["message"]],
    ["server_start", "The server is starting."],
  );
});

test("when the server has ended, how, and when it is started again", { skip }, async (t) => {
  const guest = await impatientGuest(t, []);
  writeFileSync(join(guest.directory, "root/opt/code/src/failing.js"), "process.exit(3);");
  assert.equal(await guest.configure({ entrypoint: "src/failing.js" }), SUCCESS);
  for (let tries = 0; !guest.output.includes("guest_server_ended") && tries < 1000; tries += 1) await delay(10);
  const error = await refusal(guest);
  assert.equal(error["phase"], "server_start");
  assert.match(
    String(error["message"]),
    /^The server (?:ended with status 3 and is started again in \d+ s|is starting)\.$/,
  );
});
