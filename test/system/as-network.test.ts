/** OpenAI's client against `up --as-network`: every request passes supervisor, guest protocol, guest init and server. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { join } from "node:path";
import OpenAI from "openai";

import { scratchDirectory } from "../support/scratch.ts";
import { UpProcess } from "../support/up-process.ts";

const model = "aleph-tiny-chat";
const messages = [{ role: "user" as const, content: "Say this is a test" }];
const ANSWER = "This is a test.";

let up: UpProcess;
let client: OpenAI;
let baseUrl = "";

before(async () => {
  up = new UpProcess(join(scratchDirectory(), "home"), ["--as-network", "--seconds", "60"]);
  baseUrl = (await up.ready()).models[0]?.baseUrl ?? "";
  client = new OpenAI({ baseURL: baseUrl, apiKey: "any", maxRetries: 0 });
});
after(async () => {
  assert.equal(await up.interrupt(), 130);
});

test("chats, completions and embeddings answer; models are listed", async () => {
  const chat = await client.chat.completions.create({ model, messages, temperature: 0 });
  assert.equal(chat.choices[0]?.message.content, ANSWER);
  const completion = await client.completions.create({ model, prompt: "Hello", max_tokens: 4, temperature: 0 });
  assert.equal(completion.usage?.completion_tokens, 4);
  const { data } = await client.embeddings.create({ model, input: ["one", "two"] });
  assert.equal(data.length, 2);
  assert.deepEqual(
    (await client.models.list()).data.map(({ id }) => id),
    [model],
  );
});

test("a stream comes at once and whole, with its usage and its end", async () => {
  const stream = client.chat.completions.stream({
    model,
    messages,
    temperature: 0,
    stream_options: { include_usage: true },
  });
  const answer = await stream.finalChatCompletion();
  assert.equal(answer.choices[0]?.message.content, ANSWER);
  assert.ok((answer.usage?.completion_tokens ?? 0) > 0);
  const response = await fetch(`${baseUrl}/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model, messages, stream: true }),
  });
  const text = await response.text();
  assert.match(response.headers.get("content-type") ?? "", /^text\/event-stream/);
  assert.equal(response.headers.get("content-length"), String(Buffer.byteLength(text)));
  assert.ok(text.endsWith("data: [DONE]\n\n"));
});

test("refusals keep their code and param; what would be 404 is 400 with the same object", async () => {
  await assert.rejects(client.chat.completions.create({ model, messages, temperature: 3 }), {
    status: 400,
    code: "invalid_value",
    param: "temperature",
  });
  await assert.rejects(client.chat.completions.create({ model: "gpt-5", messages }), {
    status: 400,
    code: "model_not_found",
  });
  await assert.rejects(client.models.retrieve("gpt-5"), { status: 400, code: "model_not_found" });
});

test("a prompt of nearly 1 MiB arrives whole, in fragments; beyond it the supervisor refuses", async () => {
  const huge = { model, messages: [{ role: "user" as const, content: "a ".repeat(500_000) }] };
  await assert.rejects(client.chat.completions.create(huge), { status: 400, code: "context_length_exceeded" });
  const larger = { model, messages: [{ role: "user" as const, content: "a ".repeat(530_000) }] };
  await assert.rejects(client.chat.completions.create(larger), { status: 413 });
});

test("many requests at once share the slots, each with its own answer", async () => {
  const answers = await Promise.all(
    Array.from({ length: 24 }, () => client.chat.completions.create({ model, messages, temperature: 0 })),
  );
  assert.deepEqual(
    answers.map(({ choices }) => choices[0]?.message.content),
    answers.map(() => ANSWER),
  );
});
