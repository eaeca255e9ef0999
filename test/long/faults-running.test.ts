import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import type { CommandEvent } from "../../deploy/commands/events.ts";
import { warmOnOneOf } from "../../deploy/stages/warm.ts";
import { parseItemHash, type ItemHash } from "../../src/domain/hash.ts";
import { PRIVATE_KEY, stranger } from "../deploy/local/ccn-harness.ts";
import { runHere } from "../support/commands-here.ts";
import { eventOf, type Finished } from "../support/commands.ts";
import { startFaultyNode, type FaultyNode } from "../support/faulty-node.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { cannotBuildRuntime } from "../support/vm-packages.ts";

const scratch = scratchDirectory();
const lockfile = join(scratch, "pins.json");
const env = { PINFERENCE_DATA_DIR: join(scratch, "home"), ALEPH_PRIVATE_KEY: PRIVATE_KEY };
const skip = cannotBuildRuntime();
let node: FaultyNode;
let itemHash: ItemHash;

before(async () => {
  if (skip !== false) return;
  node = await startFaultyNode(join(scratch, "node"));
  const done = await run("deploy", ["demo", "--yes", "--no-start"]);
  itemHash = parseItemHash(eventOf(done, "deployed").itemHash);
});
after(async () => {
  if (skip === false) await node.stop();
});

function run(command: string, args: readonly string[]): Promise<Finished> {
  return runHere([...command.split(" "), ...args, "--api-server", node.url, "--lockfile", lockfile], env);
}

async function withFaults(faults: readonly string[], command: string, args: readonly string[] = []): Promise<Finished> {
  node.faults.arm(...faults);
  try {
    return await run(command, args);
  } finally {
    node.faults.clear();
  }
}

const OTHER_CRN = /name another (?:node|compute node|) ?with --crn/;

/** What `warm` says of a compute node that answers so. */
const REASONS: Readonly<Record<string, readonly RegExp[]>> = {
  full: [/no memory left for this program: all programs of a node share 8192 MiB/, OTHER_CRN, /less --memory/],
  strict: [/its API node does not know the message yet, or it refuses the content/, /verify HASH --shallow/],
  draining: [/shutting down/, OTHER_CRN, /try again in some minutes/],
  download: [/cannot download the code or the runtime/, /pinference status/, OTHER_CRN],
  volume: [/cannot download a volume/, /pinference status/, /Error downloading (?:cafe){16}/],
  runtime: [/the runtime does not start there/, OTHER_CRN, /pinference up --vm/],
  setup: [/the runtime does not start there/, /Error during vm initialisation/],
  crash: [/ended without an answer/, /more --memory/],
  garbled: [/ended without an answer/],
  traceback: [/answers 500: Traceback/, OTHER_CRN],
  cut: [/does not answer/, /check its address, or name another with --crn/],
};

for (const [reason, says] of Object.entries(REASONS)) {
  test(`warm tells what to do about a compute node that answers "${reason}"`, { skip }, async () => {
    const failed = await withFaults([`crn:${reason}`], "warm", [itemHash, "--crn", node.url]);
    const error = eventOf(failed, "error");
    assert.deepEqual([error.code, failed.code], ["program_failed", 1], error.message);
    for (const sentence of says) assert.match(error.message, sentence);
  });
}

test("a compute node that is not there is said to be so, with what to check", { skip }, async () => {
  const failed = await withFaults(["crn-down"], "warm", [itemHash, "--crn", node.url]);
  assert.match(eventOf(failed, "error").message, /does not answer \(.*\); check its address/);
});

for (const reason of ["timeout", "gateway", "silent"]) {
  test(
    `a compute node that answers "${reason}" is waited for, as long as was said, and no longer`,
    { skip },
    async () => {
      node.faults.arm(`crn:${reason}`);
      const notes: string[] = [];
      const limits = { limitMs: 600, lookMs: 200, pauseMs: 20, onWait: (said: string) => void notes.push(said) };
      const startedAt = performance.now();
      try {
        await assert.rejects(warmOnOneOf([node.url], itemHash, { signal: new AbortController().signal, ...limits }), {
          code: "program_failed",
          message: /not ready after 1 s \(it is starting\); what it has begun goes on: .*--crn\. .*stays published/,
        });
      } finally {
        node.faults.clear();
      }
      const took = performance.now() - startedAt;
      assert.ok(took >= 600 && took < 5000, `${took} ms`);
      assert.deepEqual(notes, ["it is starting"]);
    },
  );
}

test("status tells an absent compute node from a cold program", { skip }, async () => {
  const states = async (...faults: readonly string[]) =>
    eventOf(await withFaults(faults, "status", ["--timeout", "1"]), "status").nodes.map(({ state }) => state);
  assert.deepEqual(await states(), ["cold"]);
  assert.deepEqual(await states("crn-down"), ["unreachable"]);
});

for (const [state, advice] of [
  ["forgotten", /run deploy again, which signs a new one/],
  ["removing", /did not cover it: add credits within a day and it stays/],
  ["removed", /add credits, then run deploy again/],
  ["pending", /run the same command again later/],
  ["unknown", /The node has lost it: run the same command again/],
] as const) {
  test(`status and verify tell of a message that is ${state}; status says what to do`, { skip }, async () => {
    const told = await withFaults([`message-status:${state}`], "status");
    assert.equal(told.code, 0, JSON.stringify(told));
    assert.equal(eventOf(told, "status").program, state);
    const notes = told.events.flatMap((event: CommandEvent) => (event.event === "note" ? [event.message] : []));
    assert.equal(notes.length, 4);
    assert.match(notes.at(-1) ?? "", new RegExp(`the program, message ${itemHash}, is ${state}`));
    assert.match(notes.at(-1) ?? "", advice);
    const checked = await withFaults([`message-status:${state}`], "verify", [itemHash, "--shallow"]);
    assert.equal(checked.code, 4, JSON.stringify(checked));
  });
}

for (const [fault, exit, says] of [
  ["download-corrupt", 4, /bytes were downloaded, but they have the hash [0-9a-f]{64}, not [0-9a-f]{64}/],
  ["download-status:404", 4, /the network has no file [0-9a-f]{64}/],
  ["download-status:500", 3, /could not be downloaded: the node answered HTTP 500\. Run verify again, or use another/],
  ["download-cut", 3, /could not be downloaded: the connection broke off\. Run verify again/],
  ["download-stalled", 3, /could not be downloaded: no byte came for 1 s\. Run verify again/],
  ["message-forged", 4, /its text has the sha256 [0-9a-f]{64}, and it was asked for as [0-9a-f]{64}/],
  ["down", 3, /does not answer \(it closed the connection\): check --api-server/],
  ["web-page", 3, /no answer of an API node: check --api-server/],
] as const) {
  test(`verify of a node with the fault ${fault} ends with ${exit} and says what was seen`, { skip }, async () => {
    const failed = await withFaults([fault], "verify", [itemHash, "--shallow", "--timeout", "1"]);
    assert.equal(failed.code, exit, JSON.stringify(failed.events.at(-1)));
    const said = failed.events.map((event: CommandEvent) =>
      event.event === "finding" ? event.evidence : event.event === "error" ? event.message : "",
    );
    assert.ok(
      said.some((text) => says.test(text)),
      JSON.stringify(said),
    );
    const good = await run("verify", [itemHash, "--shallow"]);
    assert.equal(good.code, 0, JSON.stringify(good));
  });
}

for (const [rejected, advice] of [
  [500, /nothing to forget under this hash: run `pinference status`/],
  [501, /nothing to forget under this hash: run `pinference status`/],
  [502, /cannot be undone/],
  [504, /signs a new one/],
  [2, /its owner runs `pinference keys authorize`/],
] as const) {
  test(
    `a request to forget that is rejected with ${rejected} says what to do, and takes nothing away`,
    { skip },
    async () => {
      const earlier = await node.messages();
      const lock = readFileSync(lockfile, "utf8");
      const faults = ["hurry:1", `reject-forget:${rejected}`];
      const failed = await withFaults(faults, "forget", ["aleph-tiny-chat", "--yes"]);
      const error = eventOf(failed, "error");
      assert.deepEqual([error.code, failed.code], ["message_rejected", 3]);
      assert.match(error.message, advice);
      assert.deepEqual(await node.messages(), earlier);
      assert.equal(readFileSync(lockfile, "utf8"), lock);
    },
  );
}

test("an authorization that is rejected says what to do; the next one is granted", { skip }, async () => {
  const args = [stranger.address, "--yes"];
  const failed = await withFaults(["hurry:1", "reject-aggregate:-1"], "keys authorize", args);
  const error = eventOf(failed, "error");
  assert.deepEqual([error.code, failed.code], ["message_rejected", 3]);
  assert.match(error.message, /fault of its own: try again, or use another --api-server/);
  const done = await run("keys authorize", args);
  assert.equal(eventOf(done, "stage").outcome, "granted");
});

test("plan needs a node that tells prices, and says so", { skip }, async () => {
  for (const fault of ["estimate-status:500", "balance-status:503", "price-status:410"]) {
    const failed = await withFaults([fault], "plan", ["demo", "--slots", "2"]);
    assert.equal(failed.code, 3);
    assert.match(eventOf(failed, "error").message, /cannot .* HTTP \d{3}.*\. .*(?:run|check|use)/);
  }
  assert.equal((await run("plan", ["demo", "--slots", "2"])).code, 4);
});

/** The program is published, the lockfile does not say so yet: the next deploy has nothing to send. */
for (const [faults, says] of [
  [["crn:full"], /started on no compute node\. .*no memory left .*stays published/],
  [["crn:strict"], /started on no compute node\. .*cannot start the program/],
  [["crn-chat:crash"], /answered the first question with status 502: VM did not respond .*run the same command again/],
  [["crn-chat:timeout"], /status 504: Program did not respond within .*run the same command again/],
  [["crn-chat:cut"], /no answer from http.*run the same command again/],
] as const) {
  test(
    `a deploy that ends at ${faults.join(" ")} is completed by the next, which sends nothing`,
    { skip },
    async () => {
      const args = ["demo", "--yes", "--seconds", "77"];
      const failed = await withFaults(faults, "deploy", args);
      const error = eventOf(failed, "error");
      assert.deepEqual([error.code, failed.code], ["program_failed", 1], error.message);
      assert.match(error.message, says);
      node.sent();
      const done = await run("deploy", args);
      assert.equal(done.code, 0, JSON.stringify(done));
      assert.equal(eventOf(done, "deployed").answer, "This is a test.");
      assert.deepEqual(node.sent(), { uploads: 0, publications: 0 });
      // So that the next case has something to do.
      assert.equal((await run("deploy", ["demo", "--yes", "--no-start"])).code, 0);
    },
  );
}

test("a first question that is never answered ends when the program's own time is over", { skip }, async () => {
  const failed = await withFaults(["crn-chat:silent"], "deploy", ["demo", "--yes", "--seconds", "1"]);
  const error = eventOf(failed, "error");
  assert.equal(error.code, "program_failed");
  assert.match(error.message, /no answer from .*: none came in 11 s\. .*run the same command again/);
});
