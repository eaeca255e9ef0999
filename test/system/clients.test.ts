/** Each client against the server itself, a node, and a node that answers as the network does. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { anthropic } from "../clients/anthropic.ts";
import type { Address, Client } from "../clients/client.ts";
import { openaiChat } from "../clients/openai-chat.ts";
import { openaiResponses } from "../clients/openai-responses.ts";
import { aiSdk, langchain } from "../clients/packages.ts";
import { pythonChat, pythonResponses } from "../clients/python.ts";
import { startDemoEngine } from "../support/demo-engine.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { appOf, listen } from "../support/server.ts";
import { UpProcess } from "../support/up-process.ts";

const model = "aleph-tiny-chat";
const home = join(scratchDirectory(), "home");
// All clients in turn.
const LONGEST_MS = 300_000;
const CLIENTS: readonly Client[] = [
  openaiChat,
  openaiResponses,
  anthropic,
  aiSdk,
  langchain,
  pythonChat,
  pythonResponses,
];

async function server(t: TestContext): Promise<Address> {
  const engine = await startDemoEngine();
  t.after(() => engine.close());
  const { url } = await listen(t, appOf(engine));
  return { baseUrl: `${url}/v1`, model };
}

async function node(t: TestContext, options: readonly string[]): Promise<Address> {
  const up = new UpProcess(home, ["demo", ...options], { longestMs: LONGEST_MS });
  t.after(() => up.interrupt());
  const baseUrl = (await up.ready()).models[0]!.baseUrl;
  assert.match(baseUrl, /\/vm\/[0-9a-f]{64}\/v1$/);
  return { baseUrl, model };
}

const ADDRESSES: Record<string, (t: TestContext) => Promise<Address>> = {
  "the server itself": server,
  "a node as it is": (t) => node(t, []),
  "a node as the network": (t) => node(t, ["--as-network"]),
};

async function tryClient(t: TestContext, client: Client, address: Address): Promise<void> {
  const session = await client.open(address);
  await t.test("chats", async () => {
    assert.equal(await session.chat("What is the capital of France?"), "The capital of France is Paris.");
  });
  await t.test("streams", async () => {
    const pieces = await session.stream("Say this is a test");
    assert.equal(pieces.join(""), "This is a test.");
    assert.ok(pieces.length > 1, `${pieces.length} pieces`);
  });
  for (const stream of [false, true]) {
    await t.test(`calls a tool and answers from its result${stream ? ", streamed" : ""}`, async () => {
      assert.deepEqual(await session.callTool("What is the weather in Paris?", "sunny, 21°C", { stream }), {
        asked: ["Paris"],
        answer: "The weather in Paris: sunny, 21°C.",
      });
    });
  }
  await t.test("gives a structured answer", async () => {
    const question = "Give me a JSON object with name and age for Alice, 30";
    assert.deepEqual(await session.structured(question), { name: "Alice", age: 30 });
  });
}

for (const [name, start] of Object.entries(ADDRESSES)) {
  test(`clients of ${name}`, async (t) => {
    const address = await start(t);
    for (const client of CLIENTS) {
      await t.test(client.name, { skip: client.missing ?? false }, (each) => tryClient(each, client, address));
    }
  });
}
