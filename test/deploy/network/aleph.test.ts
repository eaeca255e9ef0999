import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { appendFile, mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { CidHasher } from "../../../deploy/cid/cid.ts";
import { createAlephNetwork } from "../../../deploy/network/aleph.ts";
import type { ProgramSpec } from "../../../deploy/network/network.ts";
import { parseItemHash, parseSha256, type ItemHash } from "../../../src/domain/hash.ts";
import type { BuiltImage } from "../../../src/domain/volume.ts";
import { PRIVATE_KEY, startCcn, wallet, type RunningCcn } from "../local/ccn-harness.ts";

const MIB = 1_048_576;
const KEY_DIGITS = PRIVATE_KEY.slice(2);
let node: RunningCcn;
let directory = "";
const opened: Server[] = [];

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "images-"));
  node = await startCcn({
    limits: { storageBytes: MIB, ipfsBytes: 300 * MIB },
    retries: { maxRetries: 1, delayMs: () => 20 },
  });
});
after(async () => {
  for (const server of opened) {
    server.closeAllConnections();
    server.close();
  }
  await node.remove();
  await rm(directory, { recursive: true, force: true });
});

const network = (url = node.url) => createAlephNetwork({ apiServer: `${url}/`, privateKey: PRIVATE_KEY });

async function image(bytes: Buffer): Promise<BuiltImage> {
  const path = join(directory, randomBytes(6).toString("hex"));
  await writeFile(path, bytes);
  const cid = new CidHasher();
  cid.update(bytes);
  const sha256 = parseSha256(createHash("sha256").update(bytes).digest("hex"));
  return { path, bytes: bytes.length, sha256, cid: cid.digest() };
}

function program(ref: ItemHash): ProgramSpec {
  return {
    name: "tiny",
    runtime: { ref, comment: "runtime" },
    code: { ref, entrypoint: "src/main.js" },
    volumes: [{ mount: "/models/0", ref }],
    variables: { A: "b" },
    resources: { vcpus: 2, memoryMiB: 4096, seconds: 290 },
  };
}

/** A node in front of the real one that misbehaves for the first requests of one path. */
async function troublesome(path: string, times: number, trouble: (res: ServerResponse) => void) {
  let left = times;
  const server: Server = createServer((req, res) => {
    if (req.url?.startsWith(path) === true && left > 0) {
      left -= 1;
      trouble(res);
      return;
    }
    node.server.emit("request", req, res);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  opened.push(server);
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("a small image goes to storage by its sha256, a larger one to ipfs by its CID, and both are found again", async () => {
  for (const [bytes, engine] of [
    [randomBytes(1000), "storage"],
    [Buffer.alloc(0), "storage"],
    [randomBytes(2 * MIB), "ipfs"],
  ] as const) {
    const built = await image(bytes);
    const progress: number[] = [];
    const pinned = await network().pin(built, { onProgress: (done) => progress.push(done) });
    assert.equal(pinned.fileHash, engine === "storage" ? built.sha256 : built.cid);
    assert.equal(progress.at(-1) ?? 0, bytes.length);
    assert.equal(await network().findPin(pinned.fileHash), pinned.itemHash);
    const state = await network().message(pinned.itemHash);
    assert.deepEqual([state?.status, state?.type, state?.sender], ["processed", "STORE", wallet.address]);
  }
  assert.equal(await network().findPin((await image(randomBytes(9))).cid), undefined);
});

test("a node whose disk is full is told as such, with what to do", async () => {
  const url = await troublesome("/api/v0/storage/add_file", 1, (res) => void res.writeHead(507).end());
  await assert.rejects(network(url).pin(await image(randomBytes(700))), {
    code: "disk_full",
    message: "the node has no space left for a file of 700 bytes: free some there, or use another --api-server",
  });
});

test("the node is asked for the bytes themselves, not for their message", async () => {
  const { fileHash } = await network().pin(await image(randomBytes(700)));
  assert.equal(await network().holds(fileHash), true);
  await rm(join(node.dataDir, "files", fileHash));
  assert.equal(await network().holds(fileHash), false);
  assert.notEqual(await network().findPin(fileHash), undefined);
});

test("a program is published on pinned volumes; its price is the one that was estimated", async () => {
  const { itemHash: ref } = await network().pin(await image(randomBytes(5000)));
  const estimated = await network().estimateProgram(program(ref));
  const itemHash = await network().publish(program(ref));
  const state = await network().message(itemHash);
  assert.equal(state?.status, "processed");
  assert.deepEqual(state.content?.["variables"], { A: "b" });
  assert.equal((await node.ccn.store.programs()).at(-1)?.itemHash, itemHash);
  // 2 compute units of 11,000 credits; the volumes are within what they include.
  assert.ok(Math.abs(estimated - 22_000) < 0.001, String(estimated));
  assert.equal(await network().price(itemHash), estimated);
  assert.equal(await network().credits(), 1_000_000_000);
});

test("a program on an unknown volume is rejected, with the network's code and name", async () => {
  const ref = parseItemHash("cafe".repeat(16));
  await assert.rejects(network().publish(program(ref)), (error: Error & { code?: string }) => {
    assert.equal(error.code, "message_rejected");
    assert.match(error.message, /301 VM_VOLUME_NOT_FOUND: .*cafecafe/);
    assert.ok(!JSON.stringify([error.message, error.stack, error.cause]).includes(KEY_DIGITS));
    return true;
  });
});

test("what would never start is not sent", async () => {
  const { itemHash: ref } = await network().pin(await image(randomBytes(10)));
  const spec = program(ref);
  const count = (await node.ccn.store.programs()).length;
  for (const bad of [
    { ...spec, variables: { A: "x".repeat(5000) } },
    { ...spec, resources: { ...spec.resources, seconds: 0 } },
    { ...spec, volumes: [{ mount: "/m", ref: "bafk" as ItemHash }] },
  ]) {
    await assert.rejects(network().publish(bad), { code: "message_invalid" });
  }
  assert.equal((await node.ccn.store.programs()).length, count);
});

test("an unknown message is undefined, and the limits are the node's", async () => {
  assert.equal(await network().message(parseItemHash("0".repeat(64))), undefined);
  assert.deepEqual(await network().limits(), {
    storageBytes: MIB,
    ipfsBytes: 300 * MIB,
    carBytes: 4096 * MIB,
  });
});

test("an image above every limit is refused before a byte is sent, with both numbers", async () => {
  const built = { ...(await image(randomBytes(10))), bytes: 4096 * MIB };
  await assert.rejects(network().pin(built), {
    code: "network_refused",
    message: /has 4294967296 bytes and the node takes 4294967296 at most/,
  });
});

test("an image that changed since it was built is not sent", async () => {
  const built = await image(randomBytes(10));
  await appendFile(built.path, "more");
  await assert.rejects(network().pin(built), { code: "image_invalid" });
});

test("an image whose bytes are not its hash is refused by the node", async () => {
  const built = await image(randomBytes(10));
  await writeFile(built.path, randomBytes(10));
  await assert.rejects(network().pin(built), { code: "hash_mismatch" });
});

test("a node that names the file otherwise is not believed", async () => {
  const other = await troublesome("/api/v0/storage/add_file", 1, (res) => {
    res.setHeader("content-type", "application/json");
    res.end(JSON.stringify({ status: "success", hash: "cafe".repeat(16) }));
  });
  await assert.rejects(network(other).pin(await image(randomBytes(10))), { code: "hash_mismatch" });
});

test("an upload that breaks is begun again; a node that is down is said to be", async () => {
  const breaking = await troublesome("/api/v0/storage/add_file", 2, (res) => res.socket?.destroy());
  const pinned = await network(breaking).pin(await image(randomBytes(200_000)));
  assert.equal((await network().message(pinned.itemHash))?.status, "processed");
  await assert.rejects(network("http://127.0.0.1:9").limits(), { code: "network_unreachable" });
});

test("a broadcast whose connection breaks is sent again", async () => {
  const { itemHash: ref } = await network().pin(await image(randomBytes(10)));
  const breaking = await troublesome("/api/v0/messages", 1, (res) => res.socket?.destroy());
  const itemHash = await network(breaking).publish(program(ref));
  assert.equal((await network().message(itemHash))?.status, "processed");
});

for (const [status, code, text] of [
  [402, "network_refused", /do not cover .*add credits/],
  [403, "network_refused", /does not accept the signature/],
  [413, "network_refused", /takes no file of 10 bytes/],
  [500, "network_refused", /HTTP 500/],
] as const) {
  test(`an upload answered with ${status} says what to do`, async () => {
    const refusing = await troublesome("/api/v0/storage/add_file", 9, (res) => res.writeHead(status).end());
    await assert.rejects(network(refusing).pin(await image(randomBytes(10))), { code, message: text });
  });
}

test("an abort ends an upload within it", async () => {
  const silent = await troublesome("/api/v0/storage/add_file", 9, () => undefined);
  const abort = new AbortController();
  const pinning = network(silent).pin(await image(randomBytes(10)), { signal: abort.signal });
  setTimeout(() => abort.abort(), 50);
  await assert.rejects(pinning, { code: "interrupted" });
});

test("a large image is sent and received in constant memory", async () => {
  const path = join(directory, "large");
  const bytes = 200 * MIB;
  const file = await open(path, "w");
  await file.truncate(bytes);
  await file.close();
  const cid = new CidHasher();
  const zeros = Buffer.alloc(MIB);
  for (let n = 0; n < 200; n++) cid.update(zeros);
  const built = { path, bytes, sha256: parseSha256("0".repeat(64)), cid: cid.digest() };
  const atFirst = process.memoryUsage.rss();
  let most = atFirst;
  const pinned = await network().pin(built, { onProgress: () => (most = Math.max(most, process.memoryUsage.rss())) });
  assert.equal(pinned.fileHash, built.cid);
  assert.ok(most - atFirst < 100 * MIB, `${Math.round((most - atFirst) / MIB)} MiB more`);
});

test("the SDK's socket variable, a URL that is none and a malformed key are refused; the key is never quoted", () => {
  process.env["ALEPH_API_UNIX_SOCKET"] = "/tmp/socket";
  assert.throws(() => network(), { code: "config_invalid", message: /Unset it/ });
  delete process.env["ALEPH_API_UNIX_SOCKET"];
  assert.throws(() => createAlephNetwork({ apiServer: "api3", privateKey: PRIVATE_KEY }), { code: "config_invalid" });
  const malformed = `${KEY_DIGITS}zz`;
  assert.throws(
    () => createAlephNetwork({ apiServer: "http://localhost", privateKey: malformed }),
    (error: Error & { code?: string }) => {
      assert.equal(error.code, "key_invalid");
      assert.ok(!`${error.message}${error.stack}${String(error.cause)}`.includes(KEY_DIGITS));
      return true;
    },
  );
});
