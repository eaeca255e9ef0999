import assert from "node:assert/strict";
import { cpSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test, type TestContext } from "node:test";

import type { FindingEvent } from "../../deploy/commands/events.ts";
import { hostLabel } from "../../deploy/local/routing.ts";
import type { ItemHash } from "../../src/domain/hash.ts";
import { PRIVATE_KEY, programOf, sign, wallet } from "../deploy/local/ccn-harness.ts";
import { eventOf, runCommand, startNodeProcess, type Finished, type NodeProcess } from "../support/commands.ts";
import { demoModelPath } from "../support/demo-model.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { withOneByteChanged } from "../support/tamper.ts";
import { cannotBuildRuntime, VM_PACKAGES } from "../support/vm-packages.ts";

const scratch = scratchDirectory();
const lockfile = join(scratch, "pins.json");
const nodeDir = join(scratch, "node");
const env = {
  PINFERENCE_DATA_DIR: join(scratch, "home"),
  PINFERENCE_PACKAGES_DIR: VM_PACKAGES,
  ALEPH_PRIVATE_KEY: PRIVATE_KEY,
};
const skip = cannotBuildRuntime();
let node: NodeProcess;

interface Pin {
  readonly fileHash: string;
  readonly itemHash: string;
}
interface Locked {
  readonly itemHash: ItemHash;
  readonly runtime: Pin;
  readonly code: Pin;
  readonly volumes: readonly Pin[];
}
let locked: Locked;

before(async () => {
  if (skip !== false) return;
  node = await startNodeProcess(nodeDir, ["--owner", wallet.address], env);
  const done = await runCommand(["deploy", "demo", "--yes", "--no-start", ...network()], env);
  assert.equal(done.code, 0, JSON.stringify(done));
  const { models } = JSON.parse(readFileSync(lockfile, "utf8")) as { models: Record<string, Locked> };
  locked = models["aleph-tiny-chat"] as Locked;
});
after(async () => {
  if (skip === false) await node.stop();
});

const network = () => ["--api-server", node.url, "--lockfile", lockfile];

function wrong(done: Finished): readonly FindingEvent[] {
  return done.events.filter((event): event is FindingEvent => event.event === "finding" && !event.ok);
}

test(
  "a stranger verifies a URL without a key, down to images built again from source and model",
  { skip },
  async () => {
    const stranger = { PINFERENCE_DATA_DIR: join(scratch, "stranger") };
    const done = await runCommand(["verify", `${node.url}/vm/${locked.itemHash}/v1/chat/completions`], stranger);
    assert.equal(done.code, 0, JSON.stringify(wrong(done)));
    assert.deepEqual(eventOf(done, "verified").ok, true);
    const links = new Set(done.events.flatMap((event) => (event.event === "finding" ? [event.link] : [])));
    assert.deepEqual(
      [...links],
      [
        "PROGRAM message",
        "immutability",
        "STORE of the runtime",
        "runtime",
        "STORE of the code volume",
        "code volume",
        "STORE of the model volume",
        "model volume",
      ],
    );
    const rebuilt = done.events.filter(
      (event) => event.event === "finding" && /same file to the last bit/.test(event.evidence),
    );
    assert.equal(rebuilt.length, 3);
  },
);

test("hash, model name and the host form of a URL mean the same program", { skip }, async () => {
  const host = `http://${hostLabel(locked.itemHash)}.localhost:${new URL(node.url).port}/v1`;
  for (const target of [locked.itemHash, "aleph-tiny-chat", host]) {
    const done = await runCommand(["verify", target, "--shallow", ...network()], env);
    assert.equal(done.code, 0, target);
    assert.equal(eventOf(done, "verified").itemHash, locked.itemHash);
  }
});

for (const [name, hashOf] of [
  ["runtime", () => locked.runtime.fileHash],
  ["code volume", () => locked.code.fileHash],
  ["model volume", () => locked.volumes[0]?.fileHash ?? ""],
] as const) {
  test(`one changed byte in the network's ${name} is named, without building anything`, { skip }, async () => {
    const path = join(nodeDir, "node", "files", hashOf());
    const done = await withOneByteChanged(path, () =>
      runCommand(["verify", locked.itemHash, "--shallow", ...network()], env),
    );
    assert.equal(done.code, 4);
    assert.deepEqual(new Set(wrong(done).map(({ link }) => link)), new Set([name]));
    assert.match(wrong(done)[0]?.evidence ?? "", /bytes were downloaded, but they have the hash/);
  });
}

test("one changed byte in the model file is named by the model volume", { skip }, async () => {
  const own = join(scratch, "catalogue");
  cpSync(dirname(dirname(demoModelPath)), own, { recursive: true });
  const done = await withOneByteChanged(join(own, "demo", basename(demoModelPath)), () =>
    runCommand(["verify", locked.itemHash, ...network()], { ...env, PINFERENCE_CATALOGUE: own }),
  );
  assert.equal(done.code, 4);
  assert.deepEqual(
    wrong(done).map(({ link }) => link),
    ["model volume"],
  );
  assert.match(wrong(done)[0]?.evidence ?? "", /is not the model aleph-tiny-chat any more/);
});

test("a node that answers with another message, or another signature, is caught", { skip }, async (t) => {
  for (const [change, link, evidence] of [
    [
      (text: string) => text.replace(/\\"memory\\":\d+/, '\\"memory\\":64'),
      "PROGRAM message",
      /its text has the sha256/,
    ],
    [(text: string) => text.replace(/"signature":"0x../, '"signature":"0x00'), "PROGRAM message", /is not that of/],
  ] as const) {
    const liar = await startLiar(t, change);
    const done = await runCommand(["verify", locked.itemHash, "--shallow", "--api-server", liar], env);
    assert.equal(done.code, 4);
    assert.ok(
      wrong(done).some((finding) => finding.link === link && evidence.test(finding.evidence)),
      JSON.stringify(wrong(done)),
    );
  }
});

test("what may change later is named: amends, newest versions, writable volumes, a network", { skip }, async () => {
  const ref = locked.code.itemHash;
  const content = {
    ...programOf(ref),
    allow_amend: true,
    code: { ...programOf(ref).code, use_latest: true },
    environment: { reproducible: false, internet: true, aleph_api: false, shared_cache: false },
    volumes: [{ mount: "/data", name: "data", persistence: "host", size_mib: 10 }],
  };
  const message = await sign("PROGRAM", content);
  await post(message);
  const done = await runCommand(["verify", message.item_hash, "--shallow", ...network()], env);
  assert.equal(done.code, 4);
  const said = wrong(done).map(({ evidence }) => evidence);
  for (const expected of [/may amend it/, /its code follows newer versions/, /can be written/, /it has a network/]) {
    assert.ok(
      said.some((evidence) => expected.test(evidence)),
      `${expected}: ${said.join("; ")}`,
    );
  }
});

test("what is no program, or unknown, is said to be so", { skip }, async () => {
  const store = await runCommand(["verify", locked.code.itemHash, ...network()], env);
  assert.match(wrong(store)[0]?.evidence ?? "", /it is a STORE message/);
  const unknown = await runCommand(["verify", "0".repeat(64), ...network()], env);
  assert.match(wrong(unknown)[0]?.evidence ?? "", /does not know/);
  const name = await runCommand(["verify", "nonsense", ...network()], env);
  assert.equal(name.code, 2);
  assert.match(eventOf(name, "error").message, /it has: aleph-tiny-chat/);
});

async function post(message: object): Promise<void> {
  const response = await fetch(`${node.url}/api/v0/messages`, {
    method: "POST",
    body: JSON.stringify({ sync: true, message }),
  });
  assert.equal(response.status, 200, await response.text());
}

/** A proxy before the node that changes what messages say. */
async function startLiar(t: TestContext, change: (text: string) => string): Promise<string> {
  const server = createServer((request, response) => {
    void (async () => {
      const answer = await fetch(`${node.url}${request.url ?? ""}`);
      const bytes = Buffer.from(await answer.arrayBuffer());
      const isMessage = (request.url ?? "").includes("/messages/");
      response.writeHead(answer.status).end(isMessage ? change(bytes.toString()) : bytes);
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
