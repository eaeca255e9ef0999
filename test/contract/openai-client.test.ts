import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import OpenAI from "openai";

import { CodedError } from "../../src/domain/errors.ts";
import { FakeEngine, saying, type FakeEngineOptions } from "../support/fake-engine.ts";
import { appOf, listen } from "../support/server.ts";

const messages = [{ role: "user" as const, content: "Hi" }];

async function clientOf(t: TestContext, options: FakeEngineOptions): Promise<OpenAI> {
  const { url } = await listen(t, appOf(new FakeEngine(options)));
  return new OpenAI({ baseURL: `${url}/v1/`, apiKey: "libertai", maxRetries: 0 });
}

test("OpenAI's client reads an answer, its request id and the model list", async (t) => {
  const client = await clientOf(t, { script: saying("Hel", "lo") });
  const { data: answer, request_id: requestId } = await client.chat.completions
    .create({ model: "tiny", messages })
    .withResponse();
  assert.equal(answer.choices[0]?.message.content, "Hello");
  assert.match(requestId ?? "", /^req_/);
  const models = await client.models.list();
  assert.deepEqual(
    models.data.map(({ id }) => id),
    ["tiny"],
  );
  assert.equal((await client.models.retrieve("org/tiny")).id, "tiny");
});

test("OpenAI's client reads a stream to its end", async (t) => {
  const client = await clientOf(t, { script: saying("Hel", "lo") });
  const stream = client.chat.completions.stream({ model: "tiny", messages, stream_options: { include_usage: true } });
  const answer = await stream.finalChatCompletion();
  assert.equal(answer.choices[0]?.message.content, "Hello");
  assert.equal(answer.choices[0]?.finish_reason, "stop");
  assert.equal(answer.usage?.total_tokens, 5);
});

test("OpenAI's client raises refusals with their code and param, in a stream too", async (t) => {
  const client = await clientOf(t, {
    script: [{ type: "started" }, new CodedError("shutting_down", "Stopping.")],
  });
  await assert.rejects(client.chat.completions.create({ model: "tiny", messages, temperature: 3 }), {
    status: 400,
    code: "invalid_value",
    param: "temperature",
  });
  const stream = await client.chat.completions.create({ model: "tiny", messages, stream: true });
  await assert.rejects(
    async () => {
      for await (const chunk of stream) assert.equal(chunk.model, "tiny");
    },
    { code: "shutting_down" },
  );
});
