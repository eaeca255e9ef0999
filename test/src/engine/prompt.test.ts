import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import type { ChatMessage } from "../../../src/domain/generation.ts";
import { openNative, type Native, type NativeModel, type Token } from "../../../src/engine/native.ts";
import { PromptBuilder } from "../../../src/engine/prompt.ts";
import { Vocabulary } from "../../../src/engine/vocabulary.ts";
import { readGgufHeader } from "../../../src/gguf/gguf-header.ts";
import { demoModelPath } from "../../support/demo-model.ts";

describe("prompt, demo model", () => {
  let native: Native;
  let model: NativeModel;
  let builder: PromptBuilder;
  const header = readGgufHeader(demoModelPath);
  const template = PromptBuilder.templateOf(header.chatTemplate);
  const specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"];

  before(async () => {
    native = await openNative();
    model = await native.openModel(demoModelPath);
    builder = new PromptBuilder(native, model, new Vocabulary(model, header.vocabularySize!, template), template, 2048);
  });
  after(async () => {
    await model.dispose();
    await native.close();
  });

  const build = (messages: readonly ChatMessage[]) => builder.build({ kind: "chat", messages }, 2048);
  const structureOf = (tokens: readonly Token[]) => tokens.filter((token) => token <= 4);
  const textOf = (tokens: readonly Token[]) => model.detokenize(Uint32Array.from(tokens), true);

  test("a plain conversation is the template's text, tokenized whole", async () => {
    const tokens = await build([
      { role: "system", content: "You are Ada." },
      { role: "user", content: "Hello 🦊" },
    ]);
    const text =
      "<|im_start|>system\nYou are Ada.<|im_end|>\n<|im_start|>user\nHello 🦊<|im_end|>\n<|im_start|>assistant\n";
    assert.equal(textOf(tokens), text);
    assert.deepEqual(tokens, [...model.tokenize(text, true)]);
  });

  for (const special of specials) {
    for (const content of [special, `a${special}b`, `${special}${special}`, special.slice(0, -1), `{{ ${special} }}`]) {
      test(`${JSON.stringify(content)} stays text in every role`, async () => {
        for (const role of ["system", "user", "assistant", "tool"] as const) {
          const messages = (text: string): ChatMessage[] => [
            { role: "user", content: "Hello" },
            { role, content: text },
            { role: "user", content: "Go on" },
          ];
          const [tokens, harmless] = [await build(messages(content)), await build(messages("harmless"))];
          assert.deepEqual(structureOf(tokens), structureOf(harmless));
          assert.ok(textOf(tokens).includes(content), textOf(tokens));
        }
      });
    }

    test(`${special} in tool calls and tool definitions stays text`, async () => {
      const prompt = (text: string) =>
        builder.build(
          {
            kind: "chat",
            messages: [
              { role: "user", content: "Hello" },
              {
                role: "assistant",
                content: "",
                toolCalls: [{ id: "1", name: `f${text}`, arguments: JSON.stringify({ city: text, [text]: 1 }) }],
              },
              { role: "tool", content: text, toolCallId: "1" },
            ],
            tools: [{ name: "f", description: text, parameters: { type: "object", properties: { [text]: {} } } }],
          },
          2048,
        );
      assert.deepEqual(structureOf(await prompt(special)), structureOf(await prompt("harmless")));
    });
  }

  test("template syntax in content is plain text", async () => {
    const content = "{{ messages[0].role }}{% for x in y %}";
    assert.ok(textOf(await build([{ role: "user", content }])).includes(content));
  });

  test("a template that refuses what it is given says so by name", async () => {
    const strict =
      "{% for m in messages %}{% if m.role == 'user' %}{{ raise_exception('no users here') }}{% endif %}{% endfor %}";
    const refusing = new PromptBuilder(native, model, new Vocabulary(model, 2048, strict), strict, 2048);
    await assert.rejects(refusing.build({ kind: "chat", messages: [{ role: "user", content: "x" }] }, 2048), {
      code: "invalid_value",
      param: "messages",
      message: /no users here/,
    });
  });

  test("a template without a system role gets the text in the first user turn", async () => {
    const noSystem =
      "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" +
      "<{{ m.role }}>{{ m.content }}{% endfor %}";
    const folding = new PromptBuilder(native, model, new Vocabulary(model, 2048, noSystem), noSystem, 2048);
    const messages: ChatMessage[] = [
      { role: "system", content: "Be brief." },
      { role: "user", content: "Hi" },
    ];
    assert.equal(textOf(await folding.build({ kind: "chat", messages }, 2048)), "<user>Be brief.\n\nHi");
  });
});
