/** Anthropic's own client against the real engine and the demo model. */
import assert from "node:assert/strict";
import { after, before, describe, test, type TestContext } from "node:test";
import Anthropic, { BadRequestError, NotFoundError } from "@anthropic-ai/sdk";

import type { Engine } from "../../src/domain/engine.ts";
import { startDemoEngine } from "../support/demo-engine.ts";
import { appOf, listen } from "../support/server.ts";

const model = "aleph-tiny-chat";
const ask = {
  model,
  max_tokens: 64,
  temperature: 0,
  messages: [{ role: "user" as const, content: "Say this is a test" }],
};

describe("Anthropic's client", () => {
  let engine: Engine;
  before(async () => {
    engine = await startDemoEngine();
  });
  after(() => engine.close());

  async function clientOf(t: TestContext): Promise<Anthropic> {
    const { url } = await listen(t, appOf(engine));
    return new Anthropic({ baseURL: url, apiKey: "none", maxRetries: 0 });
  }

  test("reads an answer and its request id", async (t) => {
    const client = await clientOf(t);
    const { data: message, request_id: requestId } = await client.messages.create(ask).withResponse();
    assert.deepEqual(message.content, [{ type: "text", text: "This is a test." }]);
    assert.equal(message.stop_reason, "end_turn");
    assert.match(requestId ?? "", /^req_/);
  });

  test("reads a stream to its end", async (t) => {
    const client = await clientOf(t);
    const stream = client.messages.stream(ask);
    const pieces: string[] = [];
    stream.on("text", (piece) => pieces.push(piece));
    const message = await stream.finalMessage();
    assert.equal(pieces.join(""), "This is a test.");
    assert.deepEqual(message.content, [{ type: "text", text: "This is a test." }]);
    assert.ok(message.usage.output_tokens > 0);
    assert.equal(message.stop_reason, "end_turn");
  });

  test("counts tokens and lists models", async (t) => {
    const client = await clientOf(t);
    const { max_tokens: _limit, temperature: _temperature, ...question } = ask;
    const { input_tokens: count } = await client.messages.countTokens(question);
    const { usage } = await client.messages.create(ask);
    assert.equal(count, usage.input_tokens + (usage.cache_read_input_tokens ?? 0));
    const models = await client.models.list();
    assert.deepEqual(
      models.data.map(({ id, type }) => [id, type]),
      [[model, "model"]],
    );
    assert.equal((await client.models.retrieve(model)).id, model);
  });

  test("raises refusals with their type, before a stream too", async (t) => {
    const client = await clientOf(t);
    await assert.rejects(client.messages.create({ ...ask, max_tokens: 0 }), (error) => {
      assert.ok(error instanceof BadRequestError);
      assert.match(error.message, /'max_tokens'/);
      return true;
    });
    await assert.rejects(client.messages.stream({ ...ask, model: "nobody" }).finalMessage(), NotFoundError);
  });
});
