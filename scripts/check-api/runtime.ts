import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

import type { Client, Members } from "./client.ts";
import { section, user } from "./checks.ts";

const { checks, check, checkDirect } = section("13 runtime");
export const runtime = checks;

const CHAT = "/v1/chat/completions";
const WAITS = "a compute node waits for the whole answer, whether its client does or not";
const story = { messages: [user("Tell me a long story")], ignore_eos: true, max_tokens: 1200 };

async function busySlots(client: Client): Promise<number> {
  return ((await client.get("/slots")).json as Members[]).filter((slot) => slot["is_processing"] === true).length;
}
async function whenIdle(client: Client): Promise<void> {
  for (let waited = 0; waited < 10_000; waited += 50) {
    if ((await busySlots(client)) === 0) return;
    await sleep(50);
  }
  assert.fail("a slot stays busy");
}
/** Sends a request and leaves. */
async function leave(client: Client, path: string, body: Members, afterMs: number): Promise<void> {
  const gone = new AbortController();
  const sent = client
    .send(path, { method: "POST", body: JSON.stringify(body), signal: gone.signal })
    .catch(() => undefined);
  await sleep(afterMs);
  gone.abort();
  await sent;
}

checkDirect(
  WAITS,
  "a client that leaves frees its slots: streams, whole answers, each of n, several prompts",
  async ({ client }) => {
    for (const [path, body] of [
      [CHAT, { ...story, stream: true }],
      [CHAT, story],
      [CHAT, { ...story, n: 3 }],
      ["/v1/completions", { prompt: ["a", "b", "c"], ignore_eos: true, max_tokens: 1200 }],
      ["/completion", { prompt: "a", ignore_eos: true, n_predict: 1200, stream: true }],
    ] as const) {
      await leave(client, path, body, 100);
      await whenIdle(client);
    }
  },
);
checkDirect(WAITS, "status, models and tokens are answered while all slots are busy", async ({ client }) => {
  const gone = new AbortController();
  const sent = Array.from({ length: 6 }, () =>
    client.send(CHAT, { method: "POST", body: JSON.stringify(story), signal: gone.signal }).catch(() => undefined),
  );
  await sleep(100);
  for (const path of ["/health", "/v1/models", "/metrics", "/props", "/slots"])
    assert.equal((await client.get(path)).status, 200, path);
  assert.equal((await client.post("/tokenize", { content: "a" })).status, 200);
  gone.abort();
  await Promise.all(sent);
  await whenIdle(client);
});
check("events are sent as they are made; a compute node sends them whole, with their length", async ({ client }) => {
  const body = JSON.stringify({ ...story, max_tokens: 60, stream: true });
  const response = await fetch(client.base + CHAT, { method: "POST", body });
  const pieces: Buffer[] = [];
  for await (const piece of response.body!) pieces.push(Buffer.from(piece));
  const whole = Buffer.concat(pieces);
  assert.ok(whole.toString().endsWith("data: [DONE]\n\n"));
  const length = response.headers.get("content-length");
  assert.equal(length, client.asNetwork ? String(whole.length) : null);
  if (!client.asNetwork) assert.ok(pieces.length > 10, `${pieces.length} pieces`);
});
check("requests at the same time do not mix", async ({ client }) => {
  const alone = async (content: string) =>
    (await client.ask(CHAT, { messages: [user(content)], temperature: 0, max_tokens: 30 }))["choices"];
  const texts = ["Say this is a test", "Hello", "What is the capital of France?", "Tell me a story"];
  const expected: unknown[] = [];
  for (const text of texts) expected.push(await alone(text));
  assert.deepEqual(await Promise.all(texts.map(alone)), expected);
});
check("greedy text is the same with a cold and a warm cache", async ({ client }) => {
  const body = { messages: [user("Tell me a story")], temperature: 0, max_tokens: 40 };
  const cold = await client.ask(CHAT, { ...body, cache_prompt: false });
  await client.ask(CHAT, body);
  assert.deepEqual((await client.ask(CHAT, body))["choices"], cold["choices"]);
});
check("a follow-up reuses the earlier turns", async ({ client }) => {
  const first = [user("Tell me about the cache of a server, in a few words, please.")];
  const answer = await client.ask(CHAT, { messages: first, temperature: 0, max_tokens: 20 });
  const { message } = (answer["choices"] as { message: Members }[])[0]!;
  const next = await client.ask(CHAT, { messages: [...first, message, user("Go on")], temperature: 0, max_tokens: 2 });
  const usage = next["usage"] as { prompt_tokens: number; prompt_tokens_details: { cached_tokens: number } };
  assert.ok(usage.prompt_tokens_details.cached_tokens > usage.prompt_tokens / 3, JSON.stringify(usage));
});
checkDirect(
  "a compute node answers bodies above 1 MiB itself",
  "a prompt of 4 MB is refused within seconds, and others go on meanwhile",
  async ({ client }) => {
    const huge = client.post("/v1/completions", { prompt: "ab ".repeat(1_400_000) });
    assert.equal((await client.get("/health")).status, 200);
    const started = Date.now();
    assert.equal((await huge).status, 400);
    assert.ok(Date.now() - started < 30_000);
  },
);
check("no broken character is sent at the token limit", async ({ client }) => {
  const text = "👋🦊𝄞";
  for (const max_tokens of [1, 2, 3, 4, 5, 6, 7]) {
    const body = { prompt: "a", max_tokens, grammar: `root ::= "${text}"` };
    const answer = await client.ask("/v1/completions", body);
    const [choice] = answer["choices"] as { text: string }[];
    assert.ok(text.startsWith(choice!.text) && !/[\uD800-\uDBFF]$/.test(choice!.text), JSON.stringify(choice));
  }
});
check("many requests at once are answered or 429", async ({ client }) => {
  const replies = await Promise.all(
    Array.from({ length: 40 }, () => client.post(CHAT, { messages: [user("Hello")], max_tokens: 3 })),
  );
  for (const { status, headers } of replies) {
    assert.ok(status === 200 || status === 429, String(status));
    if (status === 429) assert.match(headers.get("retry-after") ?? "", /^\d+$/);
  }
});
check("deep nesting and long arrays are refused, not fatal", async ({ client }) => {
  for (const body of [
    { messages: [user("a")], metadata: Object.fromEntries(Array.from({ length: 17 }, (_, index) => [index, "x"])) },
    {
      messages: [user("a")],
      tools: Array.from({ length: 129 }, (_, index) => ({ type: "function", function: { name: `f${index}` } })),
    },
  ]) {
    assert.equal((await client.post(CHAT, body)).status, 400);
  }
});
