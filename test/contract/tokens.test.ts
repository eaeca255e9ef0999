/** Counting, templates and tokens over the real engine: nothing is generated. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import supertest from "supertest";

import type { Engine } from "../../src/domain/engine.ts";
import { startDemoEngine } from "../support/demo-engine.ts";
import { demoModelPath } from "../support/demo-model.ts";
import { openNative } from "../../src/engine/native.ts";
import { tokenBytes } from "../../src/engine/token-bytes.ts";
import { appOf } from "../support/server.ts";

const messages = [
  { role: "system", content: "Be brief. <|im_end|>" },
  { role: "user", content: "grüße 👋 <|im_start|>" },
];

describe("tokens and templates over the demo model", () => {
  let engine: Engine;
  before(async () => {
    engine = await startDemoEngine({ slots: 1 });
  });
  after(() => engine.close());

  const post = (path: string, body: object) => supertest(appOf(engine)).post(path).send(body);
  const refused = async (path: string, body: object) => {
    const { error } = (await post(path, body).expect(400)).body as { error: { code: string; param: string | null } };
    return [error.code, error.param];
  };

  test("input_tokens is what the same request's usage counts, and runs nothing", async () => {
    for (const path of ["/v1/chat/completions/input_tokens", "/chat/completions/input_tokens/"]) {
      const batches = engine.status().batches;
      const { body } = await post(path, { messages, max_tokens: 1 }).expect(200);
      assert.equal(body.object, "response.input_tokens");
      assert.equal(engine.status().batches, batches);
      const chat = await post("/v1/chat/completions", { messages, max_tokens: 1 }).expect(200);
      assert.equal(body.input_tokens, chat.body.usage.prompt_tokens);
    }
    const long = [{ role: "user", content: "word ".repeat(20_000) }];
    const { body } = await post("/v1/chat/completions/input_tokens", { messages: long }).expect(200);
    assert.ok(body.input_tokens > 2048);
  });

  test("input_tokens and apply-template refuse what the chat route refuses", async () => {
    for (const path of ["/v1/chat/completions/input_tokens", "/apply-template"]) {
      assert.deepEqual(await refused(path, {}), ["missing_required_parameter", "messages"]);
      assert.deepEqual(await refused(path, { messages, temperature: 3 }), ["invalid_value", "temperature"]);
      await post(path, { messages, model: "gpt-9" }).expect(404);
      const { headers } = await post(path, { messages, foo: 1 }).expect(200);
      assert.equal(headers["x-ignored-params"], "foo");
    }
  });

  test("apply-template gives the text that the model would read", async () => {
    const { body } = await post("/apply-template", { messages: [{ role: "user", content: "Hi" }] }).expect(200);
    assert.deepEqual(body, { prompt: "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n" });
  });

  test("text survives tokenize and detokenize exactly, control tokens included", async () => {
    for (const content of ["", "Hello, world!", " grüße 👋\n\n  x", "<|im_start|>user\nHi<|im_end|>", "a\u0000b"]) {
      for (const parse_special of [true, false]) {
        const { body } = await post("/tokenize", { content, parse_special }).expect(200);
        const back = await post("/detokenize", { tokens: body.tokens }).expect(200);
        assert.equal(back.body.content, content);
      }
    }
  });

  test("control tokens are parsed unless parse_special is false", async () => {
    const content = "<|im_end|>";
    assert.equal((await post("/tokenize", { content })).body.tokens.length, 1);
    assert.ok((await post("/tokenize", { content, parse_special: false })).body.tokens.length > 1);
  });

  test("content may mix texts and ids, and pieces join to the text's bytes", async () => {
    const { body } = await post("/tokenize", { content: ["Hi", 2, " 🦊"], with_pieces: true }).expect(200);
    const pieces = body.tokens as { id: number; piece: string | number[] }[];
    assert.ok(pieces.some(({ piece }) => Array.isArray(piece)));
    const bytes = Buffer.concat(pieces.map(({ piece }) => Buffer.from(piece as string)));
    assert.equal(bytes.toString(), `Hi${engine.detokenize([2])} 🦊`);
  });

  test("what is no text and no token is refused by name", async () => {
    assert.deepEqual(await refused("/tokenize", {}), ["missing_required_parameter", "content"]);
    assert.deepEqual(await refused("/tokenize", { content: 3 }), ["invalid_type", "content"]);
    assert.deepEqual(await refused("/tokenize", { content: ["a", 999_999] }), ["invalid_value", "content"]);
    assert.deepEqual(await refused("/tokenize", { content: "a", with_pieces: 1 }), ["invalid_type", "with_pieces"]);
    assert.deepEqual(await refused("/detokenize", {}), ["missing_required_parameter", "tokens"]);
    assert.deepEqual(await refused("/detokenize", { tokens: ["a"] }), ["invalid_type", "tokens[0]"]);
    assert.deepEqual(await refused("/detokenize", { tokens: [-1] }), ["invalid_value", "tokens[0]"]);
    assert.deepEqual(await refused("/detokenize", { tokens: [999_999] }), ["invalid_value", "tokens"]);
    await supertest(appOf(engine)).get("/tokenize").expect(405).expect("Allow", "POST, OPTIONS");
  });
});

test("the bytes of a byte-level vocabulary's tokens are those that the library decodes", async () => {
  const native = await openNative();
  const model = await native.openModel(demoModelPath);
  for (const text of ["Hello world", "grüße 👋", "\u0000\u007f\u00ad\u00a0 x\n"]) {
    const tokens = [...model.tokenize(text, false)];
    const bytes = Buffer.concat(tokens.map((token) => tokenBytes(model, token, true)));
    assert.equal(bytes.toString(), text);
  }
  await model.dispose();
  await native.close();
});
