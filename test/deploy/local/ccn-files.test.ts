import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { appendFile, mkdtemp, open, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import supertest from "supertest";

import { CidHasher } from "../../../deploy/cid/cid.ts";
import { programOf, sign, startCcn, storeOf, stranger, wallet, type RunningCcn } from "./ccn-harness.ts";

let node: RunningCcn;
before(
  async () => (node = await startCcn({ limits: { storageBytes: 4096, ipfsBytes: 8192, unauthenticatedBytes: 1024 } })),
);
after(() => node.remove());

const api = () => supertest(node.url);
const filesOf = (running: RunningCcn) => readdir(join(running.dataDir, "files"));
const sha256 = (bytes: Uint8Array | string) => createHash("sha256").update(bytes).digest("hex");

function cidOf(bytes: Uint8Array): string {
  const hasher = new CidHasher();
  hasher.update(bytes);
  return hasher.digest();
}

/** A file and its STORE message. */
async function signedFile(bytes: Buffer, engine: "storage" | "ipfs" = "storage") {
  const hash = engine === "storage" ? sha256(bytes) : cidOf(bytes);
  const message = await sign("STORE", storeOf(hash));
  return { bytes, hash, message, metadata: JSON.stringify({ message, sync: true }) };
}

for (const engine of ["storage", "ipfs"] as const) {
  test(`a file with its STORE message goes to ${engine} in one request, metadata first or last`, async () => {
    for (const first of [true, false]) {
      const file = await signedFile(randomBytes(3000), engine);
      const upload = api().post(`/api/v0/${engine}/add_file`);
      if (first) upload.field("metadata", file.metadata);
      upload.attach("file", file.bytes, "image.squashfs");
      if (!first) upload.field("metadata", file.metadata);
      const { body } = await upload.expect(200);
      assert.equal(body.status, "success");
      assert.equal(body.hash, file.hash);
      if (engine === "ipfs") assert.deepEqual([body.name, body.size], ["image.squashfs", 3000]);
      const { body: state } = await api().get(`/api/v0/messages/${file.message.item_hash}/status`);
      assert.equal(state.status, "processed");
    }
  });
}

test("a file part without a filename is a file all the same", async () => {
  const { body } = await api().post("/api/v0/storage/add_file").field("file", "plain").expect(200);
  assert.equal(body.hash, sha256("plain"));
});

test("a wrong hash is refused with the network's text, and no file is left", async () => {
  const file = await signedFile(randomBytes(100));
  const other = randomBytes(100);
  const names = await filesOf(node);
  const { text } = await api()
    .post("/api/v0/storage/add_file")
    .field("metadata", file.metadata)
    .attach("file", other, "x")
    .expect(422);
  assert.equal(text, `File hash does not match (${sha256(other)} != ${file.hash})`);
  assert.deepEqual(await filesOf(node), names);
});

test("a bad signature gets 403 with nothing in it; hold without ALEPH gets 402; broken metadata 422", async () => {
  const file = await signedFile(randomBytes(10));
  const upload = (message: object) =>
    api()
      .post("/api/v0/storage/add_file")
      .field("metadata", JSON.stringify({ message, sync: true }))
      .attach("file", file.bytes, "x");
  const names = await filesOf(node);
  const { text } = await upload({ ...file.message, sender: stranger.address }).expect(403);
  assert.equal(text, "");
  await upload(await sign("STORE", storeOf(file.hash, { payment: { type: "hold" } }))).expect(402);
  await upload(await sign("POST", { type: "a", content: 1 })).expect(422);
  await api().post("/api/v0/storage/add_file").field("metadata", "{").attach("file", file.bytes, "x").expect(422);
  assert.deepEqual(await filesOf(node), names);
});

test("a STORE that is rejected answers 422 and success at once, as the network does", async () => {
  const file = await signedFile(randomBytes(10));
  const message = await sign("STORE", storeOf(file.hash, { address: wallet.address }), { signer: stranger });
  const { body } = await api()
    .post("/api/v0/storage/add_file")
    .field("metadata", JSON.stringify({ message, sync: true }))
    .attach("file", file.bytes, "x")
    .expect(422);
  assert.equal(body.status, "success");
});

test("files above the limits get 413, signed or not, and leave nothing", async () => {
  const names = await filesOf(node);
  const large = await signedFile(randomBytes(4097));
  const send = (metadata: string | undefined, bytes: Buffer) => {
    const upload = api().post("/api/v0/storage/add_file").attach("file", bytes, "x");
    return metadata === undefined ? upload : upload.field("metadata", metadata);
  };
  await send(large.metadata, large.bytes).expect(413);
  await send(undefined, randomBytes(1025)).expect(413);
  await send(undefined, randomBytes(3_000_000)).expect(413);
  await api().post("/api/v0/storage/add_file").set("Content-Type", "text/plain").send("x".repeat(1025)).expect(413);
  assert.deepEqual(await filesOf(node), names);
  const { body } = await api().get("/api/v0/storage/limits.json").expect(200);
  assert.deepEqual(body.storage, { max_file_size: 4096, max_unauthenticated_upload_file_size: 1024 });
  assert.equal(body.ipfs.max_upload_file_size, 8192);
});

test("requests without a file, without a boundary, or raw to ipfs get 400", async () => {
  await api().post("/api/v0/storage/add_file").field("other", "x").expect(400);
  await api().post("/api/v0/storage/add_file").set("Content-Type", "multipart/form-data").send("x").expect(400);
  await api().post("/api/v0/ipfs/add_file").set("Content-Type", "text/plain").send("x").expect(400);
});

test("stored files are served whole, with their length, and by their STORE message", async () => {
  const file = await signedFile(randomBytes(2000), "ipfs");
  await api()
    .post("/api/v0/ipfs/add_file")
    .field("metadata", file.metadata)
    .attach("file", file.bytes, "x")
    .expect(200);
  for (const path of [`/api/v0/storage/raw/${file.hash}?find`, `/ipfs/${file.hash}`]) {
    const { body, headers } = await api().get(path).expect(200);
    assert.deepEqual(body, file.bytes);
    assert.equal(headers["content-length"], "2000");
    assert.equal(headers["accept-ranges"], "none");
    const head = await api().head(path).expect(200);
    assert.equal(head.headers["content-length"], "2000");
  }
  const { body } = await api().get(`/api/v0/storage/by-message-hash/${file.message.item_hash}`).expect(200);
  assert.deepEqual([body.file_hash, body.owner, body.size], [file.hash, wallet.address, 2000]);
  assert.equal((await api().get(`/api/v0/storage/metadata/${file.hash}`).expect(200)).body.size, 2000);
  assert.equal((await api().get(`/api/v0/storage/count/${file.hash}`).expect(200)).body, 1);
  await api()
    .get(`/api/v0/storage/raw/${sha256("absent")}`)
    .expect(404);
});

test("no path leads out of the data directory", async () => {
  for (const name of ["..%2f..%2fetc%2fpasswd", "..%2fmessages.jsonl", "%2e%2e", "x%00", `${sha256("a")}%2f..`]) {
    const { status } = await api().get(`/api/v0/storage/raw/${name}`);
    assert.ok(status === 400 || status === 404, `${name}: ${status}`);
  }
});

test("JSON is stored as the network writes it: keys sorted", async () => {
  const { body } = await api()
    .post("/api/v0/storage/add_json")
    .send({ b: [{ d: 1, c: null }], a: "é" })
    .expect(200);
  assert.equal(body.hash, sha256('{"a":"é","b":[{"c":null,"d":1}]}'));
});

test("a message whose content is stored is read from its file", async () => {
  const content = { address: wallet.address, time: 1_700_000_000.5, type: "stored", content: "x" };
  const { body } = await api().post("/api/v0/storage/add_json").send(content).expect(200);
  const unsigned = { chain: "ETH", sender: wallet.address, type: "POST", item_hash: body.hash };
  const signature = await wallet.signMessage(Object.values(unsigned).join("\n"));
  const message = { ...unsigned, time: 1_700_000_000.5, item_type: "storage", signature };
  await api().post("/api/v0/messages").send({ message, sync: true }).expect(200);
  const { body: shown } = await api().get(`/api/v0/messages/${body.hash}/content`).expect(200);
  assert.equal(shown.type, "stored");
});

test("one file uploaded twice at the same time is one file", async () => {
  const bytes = randomBytes(4000);
  const answers = await Promise.all(
    [1, 2, 3, 4].map(async () => {
      const file = await signedFile(bytes, "ipfs");
      return api()
        .post("/api/v0/ipfs/add_file")
        .field("metadata", file.metadata)
        .attach("file", bytes, "x")
        .expect(200);
    }),
  );
  assert.equal(new Set(answers.map((answer) => answer.body.hash)).size, 1);
  assert.deepEqual(await readFile(join(node.dataDir, "files", cidOf(bytes))), bytes);
  assert.ok((await filesOf(node)).every((name) => !name.endsWith(".part")));
});

test("a sender that leaves in the middle leaves nothing behind", async () => {
  const names = await filesOf(node);
  const upload = request(`${node.url}/api/v0/storage/add_file`, {
    method: "POST",
    headers: { "content-type": "multipart/form-data; boundary=b", "content-length": 2000 },
  });
  upload.on("error", () => undefined);
  upload.write('--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nbytes');
  await until(async () => (await filesOf(node)).some((name) => name.endsWith(".part")));
  upload.destroy();
  await until(async () => (await filesOf(node)).length === names.length);
  await api().get("/api/v0/storage/limits.json").expect(200);
});

test("a full disk is said with 507, and no file is left", async () => {
  const full = await startCcn({ openPart: () => open("/dev/full", "w") });
  try {
    const ccn = supertest(full.url);
    const { body } = await ccn.post("/api/v0/storage/add_file").attach("file", randomBytes(500_000), "x").expect(507);
    assert.match(body.message, /no space left/);
    assert.deepEqual(await filesOf(full), []);
  } finally {
    await full.remove();
  }
});

test("messages, files and what is pending survive a restart, and a torn last line is cut off", async () => {
  const first = await startCcn();
  const file = await signedFile(randomBytes(100));
  await supertest(first.url)
    .post("/api/v0/storage/add_file")
    .field("metadata", file.metadata)
    .attach("file", file.bytes, "x")
    .expect(200);
  const late = await signedFile(randomBytes(50));
  const program = await sign("PROGRAM", programOf(late.message.item_hash));
  await supertest(first.url).post("/api/v0/messages").send({ message: program, sync: false }).expect(202);
  await first.stop();
  const journal = join(first.dataDir, "messages.jsonl");
  await appendFile(journal, '{"status":"processed","envel');
  const files = join(first.dataDir, "files");
  await writeFile(join(files, "torn.part"), "half");
  const forgotten = sha256("nobody's");
  await writeFile(join(files, forgotten), "nobody's");
  await utimes(join(files, forgotten), 1, 1);

  const second = await startCcn({ dataDir: first.dataDir });
  try {
    const ccn = supertest(second.url);
    const { body } = await ccn.get(`/api/v0/messages/${file.message.item_hash}`).expect(200);
    assert.equal(body.status, "processed");
    await ccn.get(`/api/v0/storage/raw/${file.hash}`).expect(200);
    assert.deepEqual(await readdir(files), [file.hash]);
    await ccn
      .post("/api/v0/storage/add_file")
      .field("metadata", late.metadata)
      .attach("file", late.bytes, "x")
      .expect(200);
    await until(async () => (await ccn.get(`/api/v0/messages/${program.item_hash}`)).body.status === "processed");
    for (const line of (await readFile(journal, "utf8")).trimEnd().split("\n")) JSON.parse(line);
  } finally {
    await second.remove();
  }
});

test("a journal damaged in its middle stops the start, with the line's number", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "ccn-"));
  await writeFile(join(dataDir, "messages.jsonl"), "{\n{}\n");
  await assert.rejects(startCcn({ dataDir }), { code: "data_directory", message: /line 1, is damaged/ });
  await rm(dataDir, { recursive: true });
});

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await condition()); tries++) {
    if (tries > 200) throw new Error("waited too long");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
