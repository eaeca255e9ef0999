import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { carBytes, writeCar } from "../../../deploy/cid/car.ts";
import { CidHasher } from "../../../deploy/cid/cid.ts";
import { createAlephNetwork } from "../../../deploy/network/aleph.ts";
import { parseSha256 } from "../../../src/domain/hash.ts";
import type { BuiltImage } from "../../../src/domain/volume.ts";
import { PRIVATE_KEY, sign, startCcn, storeOf, type RunningCcn } from "../local/ccn-harness.ts";
import { scratchDirectory } from "../../support/scratch.ts";

const MIB = 1_048_576;
const LEAF = 262_144;
const directory = scratchDirectory();
let node: RunningCcn;

before(async () => {
  node = await startCcn({
    limits: { storageBytes: 64 * 1024, ipfsBytes: MIB, carBytes: 50 * MIB, unauthenticatedBytes: 1024 },
  });
});
after(() => node.remove());

async function image(bytes: Buffer): Promise<BuiltImage> {
  const path = join(directory, randomBytes(6).toString("hex"));
  await writeFile(path, bytes);
  const cid = new CidHasher();
  cid.update(bytes);
  const sha256 = parseSha256(createHash("sha256").update(bytes).digest("hex"));
  return { path, bytes: bytes.length, sha256, cid: cid.digest() };
}

async function carOf({ path, bytes, cid }: BuiltImage): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of writeCar(path, bytes, cid, () => undefined)) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function post(car: Buffer, cid: string, withMessage = true): Promise<{ status: number; text: string }> {
  const form = new FormData();
  const message = await sign("STORE", storeOf(cid));
  if (withMessage) form.append("metadata", JSON.stringify({ message, sync: true }));
  form.append("file", new Blob([new Uint8Array(car)]), "file");
  const response = await fetch(`${node.url}/api/v0/ipfs/add_car`, { method: "POST", body: form });
  return { status: response.status, text: await response.text() };
}

test("the archive of any size is as long as was foretold", async () => {
  for (const bytes of [0, 1, LEAF - 1, LEAF, LEAF + 1, 3 * LEAF + 7, 174 * LEAF, 174 * LEAF + 1]) {
    assert.equal((await carOf(await image(Buffer.alloc(bytes, 7)))).length, carBytes(bytes), String(bytes));
  }
});

test("a file above the limit of a plain upload goes as an archive, and is kept under its CID", async () => {
  const bytes = randomBytes(46 * MIB);
  const built = await image(bytes);
  const progress: number[] = [];
  const network = createAlephNetwork({ apiServer: node.url, privateKey: PRIVATE_KEY });
  const pinned = await network.pin(built, { onProgress: (done) => progress.push(done) });
  assert.equal(pinned.fileHash, built.cid);
  assert.equal(progress.at(-1), bytes.length);
  assert.ok((await readFile(join(node.dataDir, "files", built.cid))).equals(bytes));
  assert.equal(await network.findPin(built.cid), pinned.itemHash);
  assert.deepEqual(
    (await readdir(join(node.dataDir, "files"))).filter((name) => name.endsWith(".part")),
    [],
  );
});

test("what is too large even for an archive is refused before it is sent", async () => {
  const network = createAlephNetwork({ apiServer: node.url, privateKey: PRIVATE_KEY });
  await assert.rejects(network.pin(await image(Buffer.alloc(51 * MIB))), {
    code: "network_refused",
    message: /takes 52428800 at most: make smaller volumes with --volume-mib/,
  });
});

test("a file that changes while it is archived is not sent as another", async () => {
  const built = await image(randomBytes(2 * MIB));
  await writeFile(built.path, randomBytes(2 * MIB));
  await assert.rejects(carOf(built), { code: "image_invalid" });
});

test("the node refuses archives with a damaged block, a missing one, another root, no message, or of no such form", async () => {
  const built = await image(randomBytes(MIB));
  const car = await carOf(built);
  const damaged = Buffer.from(car);
  damaged[MIB / 2] = (damaged[MIB / 2] ?? 0) ^ 1;
  const other = await image(randomBytes(10));
  const header = car.subarray(0, 1 + (car[0] ?? 0));
  const twoRoots = Buffer.from(car);
  twoRoots[8] = 0x82;
  for (const [archive, cid, status, said] of [
    [damaged, built.cid, 502, /does not have the hash/],
    [car.subarray(0, -100), built.cid, 502, /ends in the middle/],
    [header, built.cid, 502, /root is not among/],
    [Buffer.concat([header, (await carOf(other)).subarray(header.length)]), built.cid, 502, /root is not among/],
    [car, other.cid, 422, /File hash does not match/],
    [twoRoots, built.cid, 400, /exactly one root/],
    [Buffer.from("nonsense"), built.cid, 502, /./],
    [Buffer.alloc(53 * MIB), built.cid, 413, /./],
  ] as const) {
    const answer = await post(archive, cid);
    assert.equal(answer.status, status, answer.text);
    assert.match(answer.text, said);
  }
  assert.equal((await post(car, built.cid, false)).status, 422);
  assert.equal((await post(car, built.cid)).status, 200);
});
