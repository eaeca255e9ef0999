/** A model on three volumes, from `deploy` to an answer and to `verify`, by the real commands on a local node. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import type { FindingEvent } from "../../deploy/commands/events.ts";
import { PRIVATE_KEY, wallet } from "../deploy/local/ccn-harness.ts";
import { eventOf, runCommand, startNodeProcess, type Finished, type NodeProcess } from "../support/commands.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { flipOneBit, withOneByteChanged } from "../support/tamper.ts";
import { cannotBuildRuntime } from "../support/vm-packages.ts";

const scratch = scratchDirectory();
const lockfile = join(scratch, "pins.json");
const env = { PINFERENCE_DATA_DIR: join(scratch, "home"), ALEPH_PRIVATE_KEY: PRIVATE_KEY };
const skip = cannotBuildRuntime();
/** The demo model has 2.1 MiB. */
const LIMIT = ["--volume-mib", "1"];
let node: NodeProcess;
let deployed: Finished;

interface Locked {
  readonly volumes: readonly { readonly fileHash: string; readonly bytes: number }[];
}
const locked = () =>
  (JSON.parse(readFileSync(lockfile, "utf8")) as { models: Record<string, Locked> }).models["aleph-tiny-chat"]!;
const network = () => ["--api-server", node.url, "--lockfile", lockfile];
const fileOf = (hash: string) => join(scratch, "node", "node", "files", hash);

before(async () => {
  if (skip !== false) return;
  node = await startNodeProcess(join(scratch, "node"), ["--owner", wallet.address], env);
  deployed = await runCommand(["deploy", "demo", "--yes", ...LIMIT, ...network()], env);
});
after(async () => {
  if (skip === false) await node.stop();
});

function findings({ events }: Finished): readonly FindingEvent[] {
  return events.filter((event): event is FindingEvent => event.event === "finding");
}
const wrong = (done: Finished) => findings(done).filter(({ ok }) => !ok);

test("a model beyond the limit of a volume is deployed on three, and the server answers from them", { skip }, () => {
  assert.equal(deployed.code, 0, JSON.stringify(deployed));
  assert.equal(eventOf(deployed, "deployed").answer, "This is a test.");
  const [plan] = eventOf(deployed, "plan").models;
  assert.deepEqual(
    plan?.images.map(({ stage }) => stage),
    ["runtime", "code volume", "model volume 1", "model volume 2", "model volume 3"],
  );
  assert.equal(locked().volumes.length, 3);
  for (const { bytes } of locked().volumes) assert.ok(bytes < 1.1 * 2 ** 20, `${bytes} bytes`);
});

test("the three volumes are built again from the catalogue's model file, to the last bit", { skip }, async () => {
  const done = await runCommand(["verify", "aleph-tiny-chat", ...LIMIT, ...network()], env);
  assert.equal(done.code, 0, JSON.stringify(wrong(done)));
  const rebuilt = findings(done).filter(({ evidence }) => /built again here from the model file/.test(evidence));
  assert.deepEqual(
    rebuilt.map(({ link }) => link),
    ["model volume 1", "model volume 2", "model volume 3"],
  );
});

test("built with another limit they are other volumes, and the report says so", { skip }, async () => {
  const done = await runCommand(["verify", "aleph-tiny-chat", ...network()], env);
  assert.equal(done.code, 4);
  assert.deepEqual(
    wrong(done).map(({ link }) => link),
    ["model volume 1", "model volume 2", "model volume 3"],
  );
  assert.match(wrong(done)[0]?.evidence ?? "", /--volume-mib/);
});

for (const at of [0, 1, 2]) {
  test(`one changed byte in shard ${at + 1} is named, and no other`, { skip }, async () => {
    const { fileHash } = locked().volumes[at]!;
    const done = await withOneByteChanged(fileOf(fileHash), () =>
      runCommand(["verify", "aleph-tiny-chat", "--shallow", ...network()], env),
    );
    assert.equal(done.code, 4);
    assert.deepEqual(new Set(wrong(done).map(({ link }) => link)), new Set([`model volume ${at + 1}`]));
  });
}

test("a program that starts from a changed shard gives no answer, but names the volume", { skip }, async () => {
  const { itemHash } = eventOf(deployed, "deployed");
  flipOneBit(fileOf(locked().volumes[1]!.fileHash));
  await node.stop();
  node = await startNodeProcess(join(scratch, "node"), ["--owner", wallet.address], env);
  const done = await runCommand(["warm", itemHash, ...network()], env);
  assert.equal(done.code, 1);
  assert.match(eventOf(done, "error").message, /The volume \/models\/1/);
});
