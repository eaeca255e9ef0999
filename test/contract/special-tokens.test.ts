/** Whatever a client writes, wherever it writes it, is text: no control token of the model comes of it. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import supertest from "supertest";

import type { Engine } from "../../src/domain/engine.ts";
import { startDemoEngine } from "../support/demo-engine.ts";
import { appOf } from "../support/server.ts";

describe("control tokens in a client's words", () => {
  let engine: Engine;
  let special: string[];
  before(async () => {
    engine = await startDemoEngine();
    // A token whose text is read as one token only where control tokens are read is one.
    special = Array.from({ length: engine.model.vocabularySize }, (_, token) => token)
      .map((token) => ({ token, text: engine.detokenize([token]) }))
      .filter(({ token, text }) => {
        const read = (parseSpecial: boolean) => engine.tokenize([text], { addSpecial: false, parseSpecial });
        return text !== "" && read(true).join() === String(token) && read(false).join() !== String(token);
      })
      .map(({ text }) => text);
    assert.ok(special.includes("<|im_end|>"), special.join(" "));
  });
  after(() => engine.close());

  const count = async (body: object): Promise<number> => {
    const { status, body: answer } = await supertest(appOf(engine))
      .post("/v1/chat/completions/input_tokens")
      .send(body);
    assert.equal(status, 200, JSON.stringify(answer));
    return (answer as { input_tokens: number }).input_tokens;
  };

  const call = (name: string, json: string) => [
    { id: "call_1", type: "function", function: { name, arguments: json } },
  ];
  const f = (members: object) => [{ type: "function", function: { name: "f", ...members } }];
  const user = { role: "user", content: "Hi" };
  /** Bodies with a text in each place that a client fills. */
  const places: Record<string, (text: string) => object> = {
    system: (text) => ({ messages: [{ role: "system", content: text }, user] }),
    developer: (text) => ({ messages: [{ role: "developer", content: text }, user] }),
    user: (text) => ({ messages: [{ role: "user", content: text }] }),
    "a part": (text) => ({ messages: [{ role: "user", content: [{ type: "text", text }] }] }),
    assistant: (text) => ({ messages: [user, { role: "assistant", content: text }, user] }),
    prefill: (text) => ({ messages: [user, { role: "assistant", content: text }] }),
    "tool result": (text) => ({
      messages: [
        user,
        { role: "assistant", tool_calls: call("f", "{}") },
        { role: "tool", tool_call_id: "call_1", content: text },
      ],
      tools: f({}),
    }),
    "function result": (text) => ({ messages: [user, { role: "function", name: "f", content: text }] }),
    "a call's name": (text) => ({ messages: [user, { role: "assistant", tool_calls: call(text, "{}") }, user] }),
    "a call's arguments": (text) => ({
      messages: [user, { role: "assistant", tool_calls: call("f", JSON.stringify({ a: text })) }, user],
    }),
    "arguments that are no JSON": (text) => ({
      messages: [user, { role: "assistant", tool_calls: call("f", text) }, user],
    }),
    "tool description": (text) => ({ messages: [user], tools: f({ description: text }) }),
    "a property's name": (text) => ({
      messages: [user],
      tools: f({ parameters: { type: "object", properties: { [`a${text}`]: { type: "string" } } } }),
    }),
    "a property's description": (text) => ({
      messages: [user],
      tools: f({ parameters: { type: "object", properties: { a: { type: "string", description: text } } } }),
    }),
    "an enum": (text) => ({
      messages: [user],
      tools: f({ parameters: { type: "object", properties: { a: { enum: [text] } } } }),
    }),
  };

  for (const [place, bodyWith] of Object.entries(places)) {
    test(`${place}: each control token is counted as the characters that it is written in`, async () => {
      for (const text of special) {
        const written = `x${text}y`;
        const asText = engine.tokenize([written], { addSpecial: false, parseSpecial: false }).length;
        const asControl = engine.tokenize([written], { addSpecial: false, parseSpecial: true }).length;
        const plain = await count(bodyWith("xy"));
        const found = (await count(bodyWith(written))) - plain;
        // The neighbours' tokens may join differently; a control token would be one token for all its characters.
        const expected = asText - engine.tokenize(["xy"], { addSpecial: false, parseSpecial: false }).length;
        assert.ok(asText > asControl + 2, `${text} is long enough to tell`);
        assert.ok(Math.abs(found - expected) <= 2, `${place} ${text}: ${found} tokens more, ${expected} expected`);
      }
    });
  }
});
