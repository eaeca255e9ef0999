import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";

import supertest from "supertest";
import { WebSocket } from "ws";

import { VECTOR } from "../messages/vector.ts";
import { programOf, sign, startCcn, storeOf, stranger, wallet, type RunningCcn } from "./ccn-harness.ts";

let node: RunningCcn;
before(async () => (node = await startCcn({ retries: { maxRetries: 2, delayMs: () => 40 } })));
after(() => node.remove());

type Message = Awaited<ReturnType<typeof sign>>;
const api = () => supertest(node.url);
const post = (message: object, sync = true) => api().post("/api/v0/messages").send({ message, sync });
const stateOf = async (message: Message) => (await api().get(`/api/v0/messages/${message.item_hash}`).expect(200)).body;

async function upload(text: string): Promise<string> {
  const { body } = await api()
    .post("/api/v0/storage/add_file")
    .set("Content-Type", "application/octet-stream")
    .send(text)
    .expect(200);
  return body.hash;
}

/** The item hash of a processed STORE of this text. */
async function pinned(text: string): Promise<string> {
  const message = await sign("STORE", storeOf(await upload(text)));
  await post(message).expect(200);
  return message.item_hash;
}

async function untilSettled(message: Message) {
  for (;;) {
    const state = await stateOf(message);
    if (state.status !== "pending") return state;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test("a signed POST message is processed, and shown with its content", async () => {
  const message = await sign("POST", { type: "note", content: { a: 1 } });
  const { body } = await post(message).expect(200);
  assert.deepEqual(body, { publication_status: { status: "success", failed: [] }, message_status: "processed" });
  const state = await stateOf(message);
  assert.equal(state.status, "processed");
  assert.deepEqual(state.message.content.content, { a: 1 });
  assert.equal(state.message.item_content, message.item_content);
  assert.equal(state.message.signature, message.signature);
});

test("the network's own test vector has a good signature: only its target is missing", async () => {
  await post(VECTOR, false).expect(202);
  const state = await untilSettled(VECTOR as unknown as Message);
  assert.equal(state.status, "rejected");
  assert.equal(state.error_code, 501);
});

test("without sync the answer comes at once and is pending", async () => {
  const message = await sign("POST", { type: "note", content: {} });
  const { body } = await post(message, false).expect(202);
  assert.equal(body.message_status, "pending");
  assert.equal((await untilSettled(message)).status, "processed");
});

test("a signature by another key is rejected with code 1", async () => {
  const message = await sign("POST", { type: "note", content: 1 });
  const { signature } = await sign("POST", { type: "note", content: 1 }, { signer: stranger });
  const { body } = await post({ ...message, signature }).expect(422);
  assert.equal(body.message_status, "rejected");
  assert.equal((await stateOf(message)).error_code, 1);
});

test("a rejected message may be posted again, corrected", async () => {
  const message = await sign("POST", { type: "note", content: "again" });
  await post({ ...message, signature: "0x00" }).expect(422);
  await post(message).expect(200);
  assert.equal((await stateOf(message)).status, "processed");
});

test("what breaks its form gets 422 and the network's bare text", async () => {
  const message = await sign("POST", { type: "note", content: 1 });
  const badContent = await sign("STORE", { item_type: "ipfs", item_hash: "nothing" });
  for (const body of [{ ...message, item_hash: "cafe".repeat(16) }, { ...message, chain: "BTC" }, badContent, 7]) {
    const { text } = await post(body as object).expect(422);
    assert.equal(text, "InvalidMessageFormat");
  }
  await api().get(`/api/v0/messages/${badContent.item_hash}`).expect(404);
});

test("a body that is not JSON gets 422 without a text", async () => {
  const { text } = await api().post("/api/v0/messages").set("Content-Type", "application/json").send("{").expect(422);
  assert.equal(text, "");
});

test("a body above 1 MiB gets 413", async () => {
  await post({ junk: "x".repeat(1_100_000) }).expect(413);
});

test("a foreign address is rejected with code 2, until its security aggregate names the sender", async () => {
  const message = await sign("POST", { address: wallet.address, type: "note", content: 2 }, { signer: stranger });
  await post(message).expect(422);
  assert.equal((await stateOf(message)).error_code, 2);
  const content = {
    authorizations: [{ address: stranger.address.toLowerCase(), types: ["POST"], channels: ["TEST"] }],
  };
  await post(await sign("AGGREGATE", { key: "security", content })).expect(200);
  await post(message).expect(200);
  const other = await sign("AGGREGATE", { address: wallet.address, key: "a", content: {} }, { signer: stranger });
  await post(other).expect(422);
});

test("aggregates are merged in the order of their times", async () => {
  const now = Date.now() / 1000;
  await post(await sign("AGGREGATE", { key: "k", content: { a: 2, b: 2 } }, { time: now })).expect(200);
  await post(await sign("AGGREGATE", { key: "k", content: { a: 1, c: 1 } }, { time: now - 5 })).expect(200);
  const { body } = await api().get(`/api/v0/aggregates/${wallet.address}.json?keys=k`).expect(200);
  assert.deepEqual(body.data, { k: { a: 2, c: 1, b: 2 } });
  const { body: value } = await api().get(`/api/v0/aggregates/${wallet.address}.json?keys=k&value_only=true`);
  assert.deepEqual(value, { a: 2, c: 1, b: 2 });
  await api().get(`/api/v0/aggregates/${stranger.address}.json`).expect(404);
});

test("a program on processed volumes is processed, and the supervisor finds it and its bytes", async () => {
  const ref = await pinned("code");
  const message = await sign("PROGRAM", programOf(ref));
  await post(message).expect(200);
  const programs = await node.ccn.store.programs();
  const found = programs.find((program) => program.itemHash === message.item_hash);
  assert.equal(found?.itemContent, message.item_content);
  const store = await node.ccn.store.message(ref as never);
  assert.ok(await node.ccn.store.filePath(store?.content["item_hash"] as never));
});

test("an unknown ref keeps a program pending until the STORE comes", async () => {
  const fileHash = await upload("late");
  const store = await sign("STORE", storeOf(fileHash));
  const program = await sign("PROGRAM", programOf(store.item_hash));
  assert.equal((await post(program, false).expect(202)).body.message_status, "pending");
  const waiting = await stateOf(program);
  assert.equal(waiting.messages[0].item_hash, program.item_hash);
  await post(store).expect(200);
  assert.equal((await untilSettled(program)).status, "processed");
});

test("a ref that is a file hash is rejected with code 301 after the retries", async () => {
  const fileHash = await upload("mistaken");
  const program = await sign("PROGRAM", programOf(fileHash));
  await post(program).expect(422);
  const state = await stateOf(program);
  assert.equal(state.error_code, 301);
  assert.deepEqual(state.details, { errors: [fileHash] });
});

test("a program that no compute node would start is rejected with code 0, and the key at fault is named", async () => {
  const program = await sign("PROGRAM", programOf(await pinned("strict"), { metadata: null }));
  await post(program).expect(422);
  const state = await stateOf(program);
  assert.equal(state.error_code, 0);
  assert.deepEqual(state.details.errors, ["metadata: null; leave the key out"]);
});

test("payment rules follow the message's own time", async () => {
  const hold = { chain: "ETH", type: "hold" };
  const fileHash = await upload("paid");
  const ref = await pinned("paid");
  const before2027 = 1_798_761_599;
  for (const [type, content, time, code] of [
    ["STORE", storeOf(fileHash, { payment: hold }), before2027, undefined],
    ["STORE", storeOf(fileHash, { payment: hold }), before2027 + 1, 202],
    ["STORE", storeOf(fileHash), before2027 + 1, undefined],
    ["PROGRAM", programOf(ref, { payment: hold, on: { http: true, persistent: true } }), 1_773_187_200, 202],
    ["PROGRAM", programOf(ref, { payment: hold }), before2027, 5],
    ["PROGRAM", programOf(ref, { resources: { vcpus: 256, memory: 1_048_576, seconds: 1 } }), before2027, undefined],
  ] as const) {
    const message = await sign(type, content, { time });
    await post(message).expect(code === undefined ? 200 : 422);
    assert.equal((await stateOf(message)).error_code, code);
  }
});

test("a day of all running costs must be covered, else code 6 with both amounts", async () => {
  const poor = await startCcn({ balance: { aleph: 0, credits: 200 } });
  try {
    const ccn = supertest(poor.url);
    const { body } = await ccn.post("/api/v0/storage/add_file").set("Content-Type", "text/plain").send("x").expect(200);
    const message = await sign("STORE", storeOf(body.hash));
    // 25 MiB are the least: 4.49 credits an hour.
    await ccn.post("/api/v0/messages").send({ message, sync: true }).expect(200);
    const second = await sign("STORE", storeOf(body.hash));
    await ccn.post("/api/v0/messages").send({ message: second, sync: true }).expect(422);
    const state = (await ccn.get(`/api/v0/messages/${second.item_hash}`)).body;
    assert.equal(state.error_code, 6);
    assert.equal(state.details.errors[0].account_credits, "200.000000000000000000");
    assert.equal(state.details.errors[0].min_runtime_days, 1);
  } finally {
    await poor.remove();
  }
});

test("FORGET: the program first, then its volumes; never a FORGET, never another's message", async () => {
  const ref = await pinned("to be forgotten");
  const program = await sign("PROGRAM", programOf(ref));
  await post(program).expect(200);
  const forget = async (hashes: string[], code?: number, signer = wallet) => {
    const message = await sign("FORGET", { hashes, reason: "test" }, { signer });
    await post(message).expect(code === undefined ? 200 : 422);
    assert.equal((await stateOf(message)).error_code, code);
    return message.item_hash;
  };
  await forget([], 500);
  await forget([ref], 503);
  await forget([program.item_hash, ref], 503);
  await forget([program.item_hash], 2, stranger);
  const done = await forget([program.item_hash]);
  await forget([done], 502);
  await forget([ref]);
  const state = await stateOf(program);
  assert.equal(state.status, "forgotten");
  assert.deepEqual(state.forgotten_by, [done]);
  assert.equal(state.message.owner, wallet.address);
  assert.equal(state.message.item_content, undefined);
  assert.equal(await node.ccn.store.message(program.item_hash as never), undefined);
  await post(program).expect(422);
});

test("messages.json filters, sorts and pages as the network does", async () => {
  const channel = "LISTED";
  const now = Math.floor(Date.now() / 1000);
  for (const n of [1, 2, 3]) {
    await post(await sign("POST", { type: `t${n}`, content: n }, { channel, time: now + n })).expect(200);
  }
  const list = async (query: string) => {
    const { body } = await api().get(`/api/v0/messages.json?channels=${channel}&${query}`).expect(200);
    return body.messages.map((message: { content: { content: number } }) => message.content.content);
  };
  assert.deepEqual(await list(""), [3, 2, 1]);
  assert.deepEqual(await list("sortOrder=1"), [1, 2, 3]);
  assert.deepEqual(await list("pagination=2&page=2"), [1]);
  assert.deepEqual(await list("contentTypes=t1,t3"), [3, 1]);
  assert.deepEqual(await list(`startDate=${now + 2}&endDate=${now + 3}`), [2]);
  assert.deepEqual(await list(`owners=${stranger.address}`), []);
  assert.deepEqual(await list("msgStatuses=rejected"), []);
});

test("unknown and malformed hashes get 404 and 400; contents of unprocessed messages 422", async () => {
  await api()
    .get(`/api/v0/messages/${"0".repeat(64)}`)
    .expect(404);
  await api().get("/api/v0/messages/none").expect(400);
  await api().get("/api/v0/messages/%ff").expect(400);
  await api().get("/api/v0/nothing").expect(404);
  const message = await sign("POST", { type: "note", content: "status" });
  await post(message).expect(200);
  const { body } = await api().get(`/api/v0/messages/${message.item_hash}/status`).expect(200);
  assert.deepEqual(Object.keys(body), ["status", "item_hash", "reception_time"]);
  assert.equal((await api().get(`/api/v0/messages/${message.item_hash}/content`).expect(200)).body.content, "status");
});

const pub = (body: object) => api().post("/api/v0/ipfs/pubsub/pub").send(body);

test("legacy pubsub takes an envelope as a string, and nothing else", async () => {
  const message = await sign("POST", { type: "note", content: "pubsub" });
  await pub({ topic: "ALEPH-TEST", data: message }).expect(422);
  await pub({ topic: "OTHER", data: JSON.stringify(message) }).expect(403);
  const { body } = await pub({ topic: "ALEPH-TEST", data: JSON.stringify(message) }).expect(200);
  assert.deepEqual(body, { status: "success", failed: [] });
  assert.equal((await untilSettled(message)).status, "processed");
});

test("the WebSocket sends history, then new messages that match", async () => {
  const channel = "SOCKET";
  await post(await sign("POST", { type: "old", content: 1 }, { channel })).expect(200);
  const socket = new WebSocket(`${node.url.replace("http", "ws")}/api/ws0/messages?channels=${channel}&history=5`);
  const read = async () => JSON.parse(String((await once(socket, "message"))[0])) as { content: { type: string } };
  assert.equal((await read()).content.type, "old");
  const next = read();
  await post(await sign("POST", { type: "elsewhere", content: 1 })).expect(200);
  await post(await sign("POST", { type: "new", content: 1 }, { channel })).expect(200);
  assert.equal((await next).content.type, "new");
  socket.close();
  await once(socket, "close");
});

test("prices follow the network's formula, and estimates take sizes for what is not stored yet", async () => {
  const ref = "cafe".repeat(16);
  const content = programOf(ref);
  const estimated = { ...content, code: { ...content.code, estimated_size_mib: 9000 } };
  const estimate = async (message: Message) => {
    const { type, item_type, item_hash, item_content } = message;
    return (
      await api()
        .post("/api/v0/price/estimate")
        .send({ message: { type, item_type, item_hash, item_content } })
        .expect(200)
    ).body;
  };
  const plain = await estimate(await sign("PROGRAM", content));
  // 4 compute units of 11,000 credits an hour, a second.
  assert.equal(plain.cost, "12.222222222222222222");
  assert.equal(plain.required_tokens, Number(plain.cost));
  assert.equal(plain.charged_address, wallet.address);
  const sized = await estimate(await sign("PROGRAM", estimated));
  // Code and runtime share the ref here: 18,000 MiB, of which 8,192 come with the compute units.
  assert.ok(Math.abs(Number(sized.cost) * 3600 - (44_000 + (18_000 - 8192) * 0.977)) < 1e-6);
  const { body: balance } = await api().get(`/api/v0/addresses/${wallet.address}/balance`).expect(200);
  assert.equal(balance.credit_balance, 1_000_000_000);
  const stored = await pinned("price");
  const { body: price } = await api().get(`/api/v0/price/${stored}?include_size=true`).expect(200);
  assert.equal(price.detail[0].type, "STORAGE");
  assert.equal(price.payment_type, "credit");
});
