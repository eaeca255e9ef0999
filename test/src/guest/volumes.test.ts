/** A program is served only from the bytes that it was published with. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";

import { joinShards } from "../../../src/guest/model-directory.ts";
import type { GuestVolume } from "../../../src/guest/mounts.ts";
import { GuestProcess, sha256Of, SUCCESS } from "../../support/guest-process.ts";
import { isAlive } from "../../support/local-programs.ts";
import { scratchDirectory } from "../../support/scratch.ts";

const CODE = randomBytes(300_000);
const MODELS = [randomBytes(2_500_000), randomBytes(70_000)];
const VOLUMES = ["/opt/code", "/models/0", "/models/1"].map((mount, at) => ({
  mount,
  device: ["vdb", "vdc", "vdd"][at] ?? "",
  readOnly: true,
}));
const VARIABLES = {
  PINFERENCE_CODE_SHA256: sha256Of(CODE),
  PINFERENCE_MODEL_SHA256: MODELS.map((model) => sha256Of(model)).join(","),
};

/** A guest with a code volume and two model volumes, configured. */
async function guestWith(
  t: TestContext,
  images: { code?: Buffer; models?: readonly Buffer[] },
  variables: Readonly<Record<string, string>> = VARIABLES,
): Promise<GuestProcess> {
  const guest = new GuestProcess(t);
  const { code = CODE, models = MODELS } = images;
  writeFileSync(guest.device("vdb"), code);
  for (const [at, model] of models.entries()) {
    writeFileSync(guest.device(["vdc", "vdd"][at] ?? ""), model);
    mkdirSync(join(guest.directory, "root/models", String(at)), { recursive: true });
  }
  await guest.ready();
  assert.equal(await guest.configure({ volumes: VOLUMES, variables }), SUCCESS);
  return guest;
}

function flipped(bytes: Buffer, bit: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return copy;
}

/** The last answer, once the check is over. */
async function settled(guest: GuestProcess, path: string) {
  for (let tries = 0; ; tries += 1) {
    const answer = await guest.run(path);
    if (answer.status !== 503 || tries > 500) return answer;
    await delay(20);
  }
}

test("undamaged volumes serve, and the cost of checking them is logged", async (t) => {
  const guest = await guestWith(t, {});
  assert.equal((await guest.run("/pid")).status, 200);
  const checked = guest.output
    .split("\n")
    .filter((line) => line.includes('"guest_volume_checked"'))
    .map((line) => JSON.parse(line) as { mount: string; bytes: number; ms: number; ok: boolean });
  assert.deepEqual(
    checked.map(({ mount, bytes, ok }) => [mount, bytes, ok]),
    [
      ["/opt/code", CODE.length, true],
      ["/models/0", MODELS[0]?.length, true],
      ["/models/1", MODELS[1]?.length, true],
    ],
  );
  assert.ok(checked.every(({ ms }) => ms >= 0));
});

test("one flipped bit anywhere in the code: nothing of it runs, and requests are told which volume", async (t) => {
  const bits = [0, 1, 8 * 4096, 4 * CODE.length + 3, 8 * CODE.length - 1];
  for (const bit of bits) {
    const guest = await guestWith(t, { code: flipped(CODE, bit) });
    const answer = await guest.run("/pid");
    assert.equal(answer.status, 500, `bit ${bit}`);
    assert.match(answer.text, /"code":"hash_mismatch"/);
    assert.match(answer.text, /The volume \/opt\/code \(vdb\) is not what this program was published with/);
    assert.ok(!guest.output.includes("guest_server_started"));
  }
});

test("one flipped bit anywhere in a model volume: no answer, but the volume's name", async (t) => {
  for (const at of [0, 1]) {
    const model = MODELS[at] ?? Buffer.alloc(0);
    for (const bit of [5, 4 * model.length + 1, 8 * model.length - 1]) {
      const models = MODELS.map((image, index) => (index === at ? flipped(image, bit) : image));
      const guest = await guestWith(t, { models });
      const answer = await settled(guest, "/pid");
      assert.equal(answer.status, 500, `bit ${bit}`);
      assert.match(answer.text, new RegExp(`The volume /models/${at} \\(vd${"cd"[at]}\\) is not what`));
      // It stays so, and the server is gone.
      assert.equal((await guest.run("/pid")).status, 500);
      const [, pid] = /"guest_server_started","pid":(\d+)/.exec(guest.output) ?? assert.fail(guest.output);
      for (let tries = 0; isAlive(Number(pid)) && tries < 200; tries += 1) await delay(20);
      assert.equal(isAlive(Number(pid)), false);
    }
  }
});

test("a cut or a longer volume is damaged too, and one that cannot be read", async (t) => {
  const cut = await guestWith(t, { code: CODE.subarray(0, -512) });
  assert.match((await cut.run("/pid")).text, /hash_mismatch/);
  const longer = await guestWith(t, { code: Buffer.concat([CODE, Buffer.alloc(512)]) });
  assert.match((await longer.run("/pid")).text, /hash_mismatch/);
  const absent = await guestWith(t, { models: MODELS.slice(0, 1) });
  assert.match((await settled(absent, "/pid")).text, /The volume \/models\/1 \(vdd\) cannot be read/);
});

test("the server runs while the model is checked, but its answers wait; refusals do not", async (t) => {
  const guest = new GuestProcess(t);
  writeFileSync(guest.device("vdb"), CODE);
  // Whoever opens a pipe waits for its other end: the check takes as long as this test wants.
  execFileSync("mkfifo", [guest.device("vdc")]);
  const model = MODELS[1] ?? Buffer.alloc(0);
  const variables = {
    PINFERENCE_CODE_SHA256: sha256Of(CODE),
    PINFERENCE_MODEL_SHA256: sha256Of(model),
  };
  await guest.ready();
  assert.equal(await guest.configure({ volumes: VOLUMES.slice(0, 2), variables }), SUCCESS);
  assert.equal((await guest.run("/not-found")).status, 400);
  let isAnswered = false;
  const waiting = guest.run("/pid").finally(() => (isAnswered = true));
  await delay(300);
  assert.equal(isAnswered, false);
  const pipe = await open(guest.device("vdc"), "w");
  await pipe.write(model);
  await pipe.close();
  assert.equal((await waiting).status, 200);
});

test("a program without hashes is served and logged as not checked; as many hashes as volumes are needed", async (t) => {
  const guest = await guestWith(t, {}, {});
  assert.equal((await guest.run("/pid")).status, 200);
  assert.equal(guest.output.split('"guest_volume_not_checked"').length - 1, 3);
  const wrong = new GuestProcess(t);
  await wrong.ready();
  const variables = { ...VARIABLES, PINFERENCE_MODEL_SHA256: sha256Of("one") };
  const answer = Buffer.from(await wrong.configure({ volumes: VOLUMES, variables }), "hex").toString("latin1");
  assert.match(answer, /PINFERENCE_MODEL_SHA256 has 1 hashes for 2 volumes/);
});

test("shards of several volumes stand side by side; one volume is left as it is", async () => {
  const root = scratchDirectory();
  const volumeOf = (at: number, files: Readonly<Record<string, string>>): GuestVolume => {
    const mount = `/models/${at}`;
    mkdirSync(join(root, mount), { recursive: true });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(root, mount, name), text);
    return { mount, device: "vdc", devicePath: "", directory: join(root, mount), readOnly: true };
  };
  const volumes = [1, 2, 3].map((no) =>
    volumeOf(no - 1, { [`m-0000${no}-of-00003.gguf`]: `shard ${no}`, "card.json": "{}" }),
  );
  const first = volumes.slice(0, 1);
  assert.equal(await joinShards("/models/0/m.gguf", first, root), "/models/0/m.gguf");
  const path = await joinShards("/models/0/m-00001-of-00003.gguf", volumes, root);
  assert.equal(path, "/run/pinference/model/m-00001-of-00003.gguf");
  assert.equal(readFileSync(join(root, path), "utf8"), "shard 1");
  assert.equal(readdirSync(join(root, "run/pinference/model")).length, 3);

  const other = scratchDirectory();
  await assert.rejects(joinShards("/models/0/x.gguf", volumes, other), /no model volume has the file x\.gguf/);
  const twice = [...volumes, volumeOf(3, { "m-00003-of-00003.gguf": "again" })];
  await assert.rejects(
    joinShards("/models/0/m-00001-of-00003.gguf", twice, scratchDirectory()),
    /the volumes \/models\/2 and \/models\/3 both have a file/,
  );
});
