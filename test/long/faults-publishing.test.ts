import assert from "node:assert/strict";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { rejectionName, REJECTION_CODES, RETRIED_CODES } from "../../deploy/messages/rejections.ts";
import { PRIVATE_KEY } from "../deploy/local/ccn-harness.ts";
import { runHere } from "../support/commands-here.ts";
import { eventOf, type Finished } from "../support/commands.ts";
import { demoModelPath } from "../support/demo-model.ts";
import { startFaultyNode, type FaultyNode } from "../support/faulty-node.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { cannotBuildRuntime } from "../support/vm-packages.ts";

const scratch = scratchDirectory();
const env = { PINFERENCE_DATA_DIR: join(scratch, "home"), ALEPH_PRIVATE_KEY: PRIVATE_KEY };
const skip = cannotBuildRuntime();
let node: FaultyNode;

before(async () => {
  if (skip !== false) return;
  node = await startFaultyNode(join(scratch, "node"));
  // The runtime and the code are there from now on: each case publishes a model volume and a program.
  const done = await deploy(["demo"]);
  assert.equal(done.code, 0, JSON.stringify(done));
});
after(async () => {
  if (skip === false) await node.stop();
});

function deploy(args: readonly string[]): Promise<Finished> {
  const to = ["--api-server", node.url, "--lockfile", join(scratch, "pins.json")];
  return runHere(["deploy", ...args, "--yes", "--no-start", ...to], env);
}

/** A model that nobody has published. */
function newModel(name: string): string {
  const path = join(scratch, `${name}.gguf`);
  copyFileSync(demoModelPath, path);
  return path;
}

/** The programs and files of a model: each message once, each file once. */
async function requireOnce(name: string): Promise<void> {
  const messages = await node.messages();
  const programs = messages.filter(({ type, content }) => type === "PROGRAM" && content.metadata?.name === name);
  assert.equal(programs.length, 1, `${programs.length} programs of ${name}`);
  const files = messages.filter(({ type }) => type === "STORE").map(({ content }) => content.item_hash);
  assert.deepEqual(files.length, new Set(files).size, "a file was pinned twice");
}

interface Case {
  readonly faults: readonly string[];
  readonly args?: readonly string[];
  /** Of the error that ends the first deploy; undefined where it completes in spite of the fault. */
  readonly code?: string;
  readonly exit?: number;
  /** All of these are in the error's sentences. */
  readonly says?: readonly RegExp[];
  /** What the second deploy sends, without the fault. */
  readonly uploadsAgain?: number;
}

const AGAIN = /run (?:deploy|the same command) again/;
const OTHER_NODE = /use another --api-server/;

/** By what goes wrong, in words. */
const CASES: Readonly<Record<string, Case>> = {
  "a node that is down": {
    faults: ["down"],
    code: "network_unreachable",
    exit: 3,
    says: [/http:\/\/127\.0\.0\.1:\d+ does not answer \(it closed the connection\)/, /check --api-server/, AGAIN],
  },
  "a node that is down for a moment": { faults: ["down*2"] },
  "a node that never answers": {
    faults: ["silent"],
    args: ["--timeout", "1"],
    code: "network_unreachable",
    exit: 3,
    says: [/does not answer \(it took too long\)/, AGAIN],
  },
  "a node that is slow": { faults: ["slow:150"] },
  "a proxy that asks for a login": {
    faults: ["web-page"],
    code: "network_refused",
    exit: 3,
    says: [/HTTP 200: <!doctype html>/, /no answer of an API node: check --api-server/, /log in there first/],
  },
  "a node with too much to do": {
    faults: ["api-status:429"],
    code: "network_refused",
    exit: 3,
    says: [/HTTP 429/, /too much to do: run the same command again in some minutes/],
  },
  "a node with too much to do for a moment": { faults: ["api-status:429*2"] },
  "a node in trouble": {
    faults: ["api-status:500"],
    code: "network_refused",
    exit: 3,
    says: [/HTTP 500/, /run the same command again later/, OTHER_NODE],
  },
  "a proxy that lets nobody through": {
    faults: ["api-status:403"],
    code: "network_refused",
    exit: 3,
    says: [/lets you not do this: check --api-server/],
  },
  "messages that cannot be read": {
    faults: ["read-status:500"],
    code: "network_refused",
    exit: 3,
    says: [/cannot .*HTTP 500/, OTHER_NODE],
  },
  "a refused estimate": {
    faults: ["estimate-status:422"],
    code: "network_refused",
    exit: 3,
    says: [/cannot estimate the price: the node answered HTTP 422/, /check --api-server, or update pinference/],
  },
  "an estimate without a price": {
    faults: ["estimate-garbled"],
    code: "network_refused",
    exit: 3,
    says: [/cannot estimate the price: .*a few/, /check --api-server/],
  },
  "a refused price": {
    faults: ["price-status:404"],
    code: "network_refused",
    exit: 3,
    says: [/cannot read the price of [0-9a-f]{64}/],
  },
  "a refused balance": {
    faults: ["balance-status:500"],
    code: "network_refused",
    exit: 3,
    says: [/cannot read the balance/, AGAIN, OTHER_NODE],
  },
  "no balance": {
    faults: ["balance:1000"],
    code: "balance_insufficient",
    exit: 1,
    says: [/has 1000 credits and needs \d+:/, /Add \d+ credits .* dollars/, /Nothing was sent/],
  },
  "an upload that the credits do not cover": {
    faults: ["upload-status:402"],
    code: "network_refused",
    exit: 3,
    says: [/credits of 0x\w{40} do not cover a file of \d+ bytes for a day: add credits/],
    uploadsAgain: 1,
  },
  "an upload whose signature is refused": {
    faults: ["upload-status:403"],
    code: "network_refused",
    exit: 3,
    says: [/does not accept the signature/, OTHER_NODE],
    uploadsAgain: 1,
  },
  "an upload that is too large": {
    faults: ["upload-status:413"],
    code: "network_refused",
    exit: 3,
    says: [/takes no file of \d+ bytes: make smaller volumes with --volume-mib/, OTHER_NODE],
    uploadsAgain: 1,
  },
  "an upload that the node finds malformed": {
    faults: ["upload-status:422"],
    code: "network_refused",
    exit: 3,
    says: [/refused the upload with HTTP 422/, /update pinference/],
    uploadsAgain: 1,
  },
  "an upload that fails": {
    faults: ["upload-status:500"],
    code: "network_refused",
    exit: 3,
    says: [/refused the upload with HTTP 500/, AGAIN, OTHER_NODE],
    uploadsAgain: 1,
  },
  "an upload that fails for a moment": { faults: ["upload-status:503*2"] },
  "a node whose disk is full": {
    faults: ["upload-status:507"],
    code: "disk_full",
    exit: 1,
    says: [/no space left for a file of \d+ bytes: free some there/, OTHER_NODE],
    uploadsAgain: 1,
  },
  "an upload that breaks off once": { faults: ["upload-cut*1"] },
  "an upload that always breaks off": {
    faults: ["upload-cut"],
    code: "network_unreachable",
    exit: 3,
    says: [/it closed the connection/, AGAIN],
    uploadsAgain: 1,
  },
  "an upload that is not answered once": { faults: ["upload-silent*1"], args: ["--timeout", "1"] },
  "a node that gives the file another sha256": {
    faults: ["upload-renamed"],
    code: "hash_mismatch",
    exit: 3,
    says: [/stored (?:cafe){16} instead of [0-9a-f]{64}/, OTHER_NODE],
    uploadsAgain: 0,
  },
  "a node that gives the file another CID": {
    faults: ["storage-limit:1", "upload-renamed"],
    code: "hash_mismatch",
    exit: 3,
    says: [/stored QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH instead of Qm/, OTHER_NODE],
    // The file that it took under its right name is found by the next deploy.
    uploadsAgain: 0,
  },
  "a file that is not found for minutes": {
    faults: ["upload-lost", "hurry:1"],
    code: "message_rejected",
    exit: 3,
    says: [/rejected with 4 FILE_UNAVAILABLE/, /run deploy again, which uploads it once more/],
    uploadsAgain: 1,
  },
  "a file that the node cannot be asked for": {
    faults: ["download-status:500"],
    code: "network_refused",
    exit: 3,
    says: [/cannot look for the file [0-9a-f]{64}: the node answered HTTP 500/, AGAIN],
    uploadsAgain: 1,
  },
  "a node too old to tell its limits": { faults: ["limits-missing"] },
  "a file above every limit": {
    faults: ["upload-limit:1"],
    code: "network_refused",
    exit: 3,
    says: [/has \d+ bytes and the node takes 1048576 at most/, /--volume-mib/, OTHER_NODE],
    uploadsAgain: 1,
  },
  "a program that the node calls malformed": {
    faults: ["publish-status:422"],
    code: "network_refused",
    exit: 3,
    says: [/cannot publish the message: the node answered HTTP 422/, /update pinference/],
    uploadsAgain: 0,
  },
  "a node that cannot pass a program on": {
    faults: ["publish-status:500"],
    code: "network_refused",
    exit: 3,
    says: [/cannot publish the message: the node answered HTTP 500/, AGAIN, OTHER_NODE],
    uploadsAgain: 0,
  },
  "a node that cannot pass a program on for a moment": { faults: ["publish-status:503*1"] },
  "a program that the node takes and loses": {
    faults: ["publish-lost"],
    args: ["--wait", "1"],
    code: "network_refused",
    exit: 3,
    says: [/unknown to the node that took it after 1 s/, AGAIN, /the very same message/],
    uploadsAgain: 0,
  },
  "a file whose message stays pending": {
    faults: ["stall", "hurry:50"],
    args: ["--wait", "1"],
    code: "network_refused",
    exit: 3,
    says: [/still pending after 1 s/, AGAIN, /sends nothing twice/],
    uploadsAgain: 0,
  },
  "a node that says processed of what it rejected": {
    faults: ["publish-lies:processed", "reject-program:6"],
    code: "message_rejected",
    exit: 3,
    says: [/rejected with 6 CREDIT_INSUFFICIENT/, /Add credits to 0x\w{40}/],
    uploadsAgain: 0,
  },
  "a node that says 200 and rejected of what it rejected": {
    faults: ["publish-lies:rejected", "reject-program:5"],
    code: "message_rejected",
    exit: 3,
    says: [/rejected with 5 BALANCE_INSUFFICIENT: .*required_balance/, /add credits to 0x\w{40}/],
    uploadsAgain: 0,
  },
  "a node that says rejected of what it processed": { faults: ["publish-lies:rejected"] },
  "a message that others have forgotten": {
    faults: ["program-status:forgotten"],
    code: "message_rejected",
    exit: 3,
    says: [/is forgotten/, /run deploy again, which signs a new one/],
    uploadsAgain: 0,
  },
  "a message that is being removed": {
    faults: ["program-status:removing"],
    code: "message_rejected",
    exit: 3,
    says: [/is removing/, /credits of 0x\w{40} did not cover it: add credits/],
    uploadsAgain: 0,
  },
  "a message that was removed": {
    faults: ["program-status:removed"],
    code: "message_rejected",
    exit: 3,
    says: [/is removed/, /add credits, then run deploy again/],
    uploadsAgain: 0,
  },
  "a message with another text under its hash": {
    faults: ["message-forged"],
    code: "hash_mismatch",
    exit: 3,
    says: [/whose text has another hash: do not trust this node/, OTHER_NODE],
    uploadsAgain: 1,
  },
};

let number = 0;
for (const [what, { faults, args = [], code, exit, says = [], uploadsAgain }] of Object.entries(CASES)) {
  const title = code === undefined ? `a deploy completes: ${what}` : `${what}: ${code}, and the next deploy completes`;
  test(title, { skip }, async () => {
    number += 1;
    const name = `model-${number}`;
    const path = newModel(name);
    node.faults.arm(...faults);
    const failed = await deploy([path, ...args]).finally(() => node.faults.clear());
    if (code === undefined) {
      assert.equal(failed.code, 0, JSON.stringify(failed));
      return requireOnce(name);
    }
    const error = eventOf(failed, "error");
    assert.deepEqual([error.code, error.exitCode, failed.code], [code, exit, exit], error.message);
    for (const sentence of says) assert.match(error.message, sentence);

    node.sent();
    const done = await deploy([path]);
    assert.equal(done.code, 0, JSON.stringify(done));
    if (uploadsAgain !== undefined) assert.equal(node.sent().uploads, uploadsAgain);
    await requireOnce(name);
  });
}

for (const rejected of REJECTION_CODES) {
  const kind = RETRIED_CODES.has(rejected) ? "after a while" : "at once";
  const title = `a program that is rejected ${kind} with ${rejected} says what to do, and the next deploy completes`;
  test(title, { skip }, async () => {
    // A number that no other case has: a program of its own, on files that are there.
    const seconds = 1000 + rejected;
    const args = ["demo", "--seconds", String(seconds)];
    node.faults.arm("hurry:1", `reject-program:${rejected}`);
    const failed = await deploy(args).finally(() => node.faults.clear());
    const error = eventOf(failed, "error");
    assert.deepEqual([error.code, failed.code], ["message_rejected", 3]);
    assert.match(error.message, new RegExp(`rejected with ${rejected} ${rejectionName(rejected)}`));
    assert.match(error.message, /\. [A-Z].*(?:run|use|check|add|update|look|forget)/i);
    assert.doesNotMatch(error.message, /does not know/);
    node.sent();
    const done = await deploy(args);
    assert.equal(done.code, 0, JSON.stringify(done));
    assert.deepEqual(node.sent(), { uploads: 0, publications: 1 });
    const programs = (await node.messages()).filter(({ content }) => content.resources?.seconds === seconds);
    assert.equal(programs.length, 1);
  });
}

test(
  "what may still come is waited for: a message that lacks something is processed in the end",
  { skip },
  async () => {
    const path = newModel("patient");
    node.faults.arm("hurry:1", "reject-program:301*3", "reject-store:4*3");
    const done = await deploy([path]).finally(() => node.faults.clear());
    assert.equal(done.code, 0, JSON.stringify(done));
    await requireOnce("patient");
  },
);
