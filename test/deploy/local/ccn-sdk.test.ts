/** The network's own SDK against the embedded CCN, as a stranger's program would use it. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";

import { AlephHttpClient, AuthenticatedAlephHttpClient } from "@aleph-sdk/client";
import { importAccountFromPrivateKey } from "@aleph-sdk/ethereum";
import { broadcast, buildMessage, ItemType, MessageType, prepareAlephMessage, PaymentType } from "@aleph-sdk/message";

import { PRIVATE_KEY, programOf, startCcn, wallet, type RunningCcn } from "./ccn-harness.ts";

const account = importAccountFromPrivateKey(PRIVATE_KEY);
const payment = { chain: account.getChain(), type: PaymentType.credit };
let node: RunningCcn;
let client: AuthenticatedAlephHttpClient;
let reader: AlephHttpClient;
before(async () => {
  node = await startCcn();
  client = new AuthenticatedAlephHttpClient(account, node.url);
  reader = new AlephHttpClient(node.url);
});
after(() => node.remove());

test("createStore, a PROGRAM by broadcast, getMessage, getMessages, downloadFile and forget work", async () => {
  const bytes = randomBytes(100_000);
  const store = await client.createStore({ channel: "TEST", fileObject: new Blob([bytes]), payment, sync: true });
  const content = { address: account.address, time: Date.now() / 1000, ...programOf(store.item_hash) };
  const message = buildMessage(
    {
      account,
      channel: "TEST",
      timestamp: content.time,
      storageEngine: ItemType.inline,
      content,
    },
    MessageType.program,
  );
  const hashed = await prepareAlephMessage({ message, apiServer: node.url });
  const sent = await broadcast({ message: hashed, account, apiServer: node.url, sync: true });
  assert.equal(sent.status, "processed");

  assert.equal((await reader.getMessage(hashed.item_hash)).sender, wallet.address);
  const listed = await reader.getMessages({ addresses: [account.address], messageTypes: [MessageType.program] });
  assert.deepEqual(
    listed.messages.map((one) => one.item_hash),
    [hashed.item_hash],
  );
  assert.deepEqual(Buffer.from(await reader.downloadFile(store.content.item_hash)), bytes);
  assert.equal(Number((await reader.programClient.getCost(hashed.item_hash)).cost).toFixed(3), "12.222");

  await client.forget({ channel: "TEST", hashes: [hashed.item_hash], reason: "done", sync: true });
  await assert.rejects(reader.getMessage(hashed.item_hash), { name: "ForgottenMessageError" });
  await assert.rejects(reader.getMessage("0".repeat(64)), { name: "MessageNotFoundError" });
});

test("createStore on ipfs uploads first and pins then", async () => {
  const fileObject = new Blob([randomBytes(300_000)]);
  const store = await client.createStore({
    channel: "TEST",
    fileObject,
    storageEngine: ItemType.ipfs,
    payment,
    sync: true,
  });
  assert.match(store.content.item_hash, /^Qm/);
  assert.ok(await node.ccn.store.filePath(store.content.item_hash as never));
});

test("aggregates that the SDK writes are read back by it", async () => {
  await client.createAggregate({ channel: "TEST", key: "settings", content: { a: 1 }, sync: true });
  assert.deepEqual(await reader.fetchAggregate(account.address, "settings"), { a: 1 });
});
