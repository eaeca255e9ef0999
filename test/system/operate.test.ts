import assert from "node:assert/strict";
import { readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import type { CommandEvent, DeployedEvent } from "../../deploy/commands/events.ts";
import { renderEvent } from "../../deploy/commands/render.ts";
import { PRIVATE_KEY, sign, stranger, wallet } from "../deploy/local/ccn-harness.ts";
import { eventOf, runCommand, startNodeProcess, type Finished, type NodeProcess } from "../support/commands.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { cannotBuildRuntime } from "../support/vm-packages.ts";

const scratch = scratchDirectory();
const lockfile = join(scratch, "pins.json");
const env = { PINFERENCE_DATA_DIR: join(scratch, "home"), ALEPH_PRIVATE_KEY: PRIVATE_KEY };
/** A key without a right of its own, as CI has it. */
const ci = {
  PINFERENCE_DATA_DIR: join(scratch, "ci"),
  ALEPH_PRIVATE_KEY: `0x${"22".repeat(32)}`,
  ALEPH_OWNER_ADDRESS: wallet.address,
};
const skip = cannotBuildRuntime();
let node: NodeProcess;
let deployed: DeployedEvent;
/** Credits per hour of the program and its three files, as the plan foretold. */
let planned = 0;

const network = (file = lockfile) => ["--api-server", node.url, "--lockfile", file];

before(async () => {
  if (skip !== false) return;
  const owners = `${wallet.address},${stranger.address}`;
  node = await startNodeProcess(join(scratch, "node"), ["--owner", owners], env);
  const done = await runCommand(["deploy", "demo", "--yes", "--no-start", ...network()], env);
  deployed = eventOf(done, "deployed");
  ({ creditsPerHour: planned } = eventOf(done, "plan").cost);
});
after(async () => {
  if (skip === false) await node.stop();
});

function stagesOf({ events }: Finished): readonly string[] {
  return events.flatMap((event: CommandEvent) => (event.event === "stage" ? [`${event.stage} ${event.outcome}`] : []));
}

test("status tells cold, warm starts it, status then tells running", { skip }, async () => {
  const cold = eventOf(await runCommand(["status", ...network()], env), "status");
  assert.deepEqual(
    [cold.program, cold.files, cold.nodes.map(({ state }) => state)],
    ["processed", ["processed", "processed", "processed"], ["cold"]],
  );
  const warmed = await runCommand(["warm", deployed.baseUrl], env);
  assert.equal(warmed.code, 0, JSON.stringify(warmed));
  const running = await runCommand(["status", "aleph-tiny-chat", ...network()], env);
  const { nodes } = eventOf(running, "status");
  assert.equal(nodes[0]?.state, "running");
  assert.ok((nodes[0]?.answerMs ?? -1) >= 0);
  const { daysLeft = 0, creditsPerHour } = eventOf(running, "credits");
  assert.equal(creditsPerHour, planned);
  assert.ok(daysLeft > 3000);
});

test(
  "status tells when it was published, what it costs and for how many days, and what is lost",
  { skip },
  async () => {
    const { models } = JSON.parse(readFileSync(lockfile, "utf8")) as {
      models: Record<string, { publishedAt: string; code: { fileHash: string; bytes: number } }>;
    };
    const { publishedAt, code } = models["aleph-tiny-chat"]!;
    const path = join(scratch, "node", "node", "files", code.fileHash);
    renameSync(path, `${path}.away`);
    try {
      const done = await runCommand(["status", ...network()], env);
      const found = eventOf(done, "status");
      assert.equal(found.publishedAt, publishedAt);
      assert.equal(found.creditsPerHour, 11_000);
      assert.equal(found.daysLeft, eventOf(done, "credits").daysLeft);
      assert.ok(found.bytes > code.bytes);
      assert.deepEqual([found.files, found.lost], [["processed", "processed", "processed"], ["code volume"]]);
      assert.match(renderEvent(found, false), /the bytes of the code volume are gone; `pinference deploy` mends it/);
    } finally {
      renameSync(`${path}.away`, path);
    }
    const whole = eventOf(await runCommand(["status", ...network()], env), "status");
    assert.match(renderEvent(whole, false), /3 files, \d+\.\d MB, all kept\n {4}node {7}warm, answered in \d/);
  },
);

test("warm says of each node why it does not start", { skip }, async () => {
  const done = await runCommand(
    ["warm", deployed.itemHash, "--crn", `${node.url},http://127.0.0.1:9`, ...network()],
    env,
  );
  assert.equal(done.code, 1);
  assert.deepEqual(stagesOf(done).toSorted(), ["compute node failed", "compute node ready"]);
  assert.match(eventOf(done, "error").message, /127\.0\.0\.1:9: it does not answer/);
});

test(
  "a key publishes in the owner's name only once the owner has said so; other rights are kept",
  { skip },
  async () => {
    const file = join(scratch, "ci.json");
    const refused = await runCommand(["deploy", "demo", "--slots", "2", "--yes", "--no-start", ...network(file)], ci);
    assert.equal(refused.code, 3);
    assert.match(eventOf(refused, "error").message, /keys authorize/);

    const earlier = { address: `0x${"ab".repeat(20)}`, types: ["POST"], alias: "somebody else" };
    await post(await sign("AGGREGATE", { key: "security", content: { authorizations: [earlier], other: 1 } }));
    const granted = await runCommand(["keys", "authorize", stranger.address, "--yes", ...network()], env);
    assert.deepEqual(stagesOf(granted), ["authorization granted"]);
    const response = await fetch(`${node.url}/api/v0/aggregates/${wallet.address}.json?keys=security`);
    const { data } = (await response.json()) as { data: { security: { authorizations: object[]; other: number } } };
    assert.equal(data.security.other, 1);
    assert.deepEqual(data.security.authorizations, [
      earlier,
      {
        address: stranger.address,
        chain: "ETH",
        channels: ["ALEPH-CLOUDSOLUTIONS"],
        types: ["STORE", "PROGRAM"],
        post_types: [],
        aggregate_keys: [],
      },
    ]);
    const again = await runCommand(["keys", "authorize", stranger.address, "--yes", ...network()], env);
    assert.deepEqual(stagesOf(again), ["authorization cached"]);

    const done = await runCommand(["deploy", "demo", "--slots", "2", "--yes", ...network(file)], ci);
    assert.equal(done.code, 0, JSON.stringify(done));
    const { models } = JSON.parse(readFileSync(file, "utf8")) as {
      models: Record<string, { owner: string; sender: string; itemHash: string }>;
    };
    const model = models["aleph-tiny-chat"];
    assert.deepEqual([model?.owner, model?.sender], [wallet.address, stranger.address]);
    const verified = await runCommand(["verify", model?.itemHash ?? "", "--shallow", ...network()], env);
    assert.equal(verified.code, 0);
    assert.ok(
      verified.events.some(
        (event) => event.event === "finding" && /who lets 0x.* sign in its name/.test(event.evidence),
      ),
    );
  },
);

test(
  "forget ends programs first, then the files that nobody else uses, and tells what that frees",
  { skip },
  async () => {
    // Both programs of this name, of which the lockfile knows one; they share all files.
    const previous = await runCommand(["forget", "aleph-tiny-chat", "--previous", "--yes", ...network()], env);
    assert.equal(previous.code, 0, JSON.stringify(previous));
    assert.deepEqual(stagesOf(previous), ["program forgotten", "file kept", "file kept", "file kept"]);
    assert.equal(eventOf(previous, "forgotten").freed.creditsPerHour, 11_000);
    assert.ok(planned > 11_000);

    const done = await runCommand(["forget", "aleph-tiny-chat", "--yes", ...network()], env);
    assert.deepEqual(stagesOf(done), ["program forgotten", "file forgotten", "file forgotten", "file forgotten"]);
    assert.equal(eventOf(done, "forgotten").freed.creditsPerHour, planned);
    assert.deepEqual((JSON.parse(readFileSync(lockfile, "utf8")) as { models: object }).models, {});
    const left = await fetch(`${node.url}/api/v0/messages.json?msgTypes=PROGRAM,STORE`);
    assert.deepEqual(((await left.json()) as { messages: object[] }).messages, []);

    const again = await runCommand(["forget", "aleph-tiny-chat", "--yes", ...network()], env);
    assert.equal(again.code, 2);
  },
);

test("what was forgotten can be deployed again", { skip }, async () => {
  const done = await runCommand(["deploy", "demo", "--yes", ...network()], env);
  assert.equal(done.code, 0, JSON.stringify(done));
  assert.notEqual(eventOf(done, "deployed").itemHash, deployed.itemHash);
});

async function post(message: object): Promise<void> {
  const response = await fetch(`${node.url}/api/v0/messages`, {
    method: "POST",
    body: JSON.stringify({ sync: true, message }),
  });
  assert.equal(response.status, 200, await response.text());
}
