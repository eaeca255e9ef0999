import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import type { ChatMessage, ChatPrompt, ToolDefinition } from "../../../src/domain/generation.ts";
import {
  TOKEN_CONTROL,
  TOKEN_UNKNOWN,
  TOKEN_USER_DEFINED,
  openNative,
  type Native,
  type NativeModel,
} from "../../../src/engine/native.ts";
import { PromptBuilder } from "../../../src/engine/prompt.ts";
import { Vocabulary } from "../../../src/engine/vocabulary.ts";
import { readGgufHeader } from "../../../src/gguf/gguf-header.ts";
import { demoModelPath } from "../../support/demo-model.ts";
import { makeWideModel } from "../../support/wide-model.ts";

const TEMPLATE_TAIL =
  "{% if note %}<|im_start|>system\n{{ note }}{% if level == 'high' %} loud{% endif %}{% for item in list %} {{ item.title }}{% endfor %}<|im_end|>\n{% endif %}";

const HARMLESS = "harmless text";

/** A conversation with a text in every place where a client has one. */
const conversation = (text: string): ChatPrompt => {
  const call = { id: "call_1", name: text, arguments: JSON.stringify({ [text]: text, list: [text, { deep: text }] }) };
  const messages: ChatMessage[] = [
    { role: "system", content: text },
    { role: "user", content: text, name: text },
    { role: "assistant", content: text, toolCalls: [call] },
    { role: "tool", content: text, toolCallId: "call_1", name: text },
    { role: "assistant", content: text },
    { role: "user", content: text },
  ];
  const tool: ToolDefinition = {
    name: text,
    description: text,
    parameters: {
      type: "object",
      title: text,
      properties: { [text]: { type: "string", description: text, enum: [text], default: text } },
      required: [text],
      $comment: text,
    },
  };
  return { kind: "chat", messages, tools: [tool], variables: { note: text, level: "high", list: [{ title: text }] } };
};

for (const [name, file] of [
  ["demo", undefined],
  ["a vocabulary with infill tokens", "wide"],
] as const) {
  describe(`control tokens written by a client, ${name}`, () => {
    const wide = file === undefined ? undefined : makeWideModel();
    const path = wide?.path ?? demoModelPath;
    const header = readGgufHeader(path);
    const template = TEMPLATE_TAIL + PromptBuilder.templateOf(header.chatTemplate);
    let native: Native;
    let model: NativeModel;
    let builder: PromptBuilder;
    let special: ReadonlySet<number>;

    before(async () => {
      native = await openNative();
      model = await native.openModel(path);
      const vocabulary = new Vocabulary(model, header.vocabularySize!, template);
      builder = new PromptBuilder(native, model, vocabulary, template, 4096);
      const all = Array.from({ length: header.vocabularySize! }, (_, token) => token);
      special = new Set(
        all.filter(
          (token) => (model.getTokenAttributes(token) & (TOKEN_CONTROL | TOKEN_UNKNOWN | TOKEN_USER_DEFINED)) !== 0,
        ),
      );
    });
    after(async () => {
      await model.dispose();
      await native.close();
      wide?.remove();
    });

    const structure = async (prompt: ChatPrompt) =>
      (await builder.build(prompt, 1e6)).filter((token) => special.has(token));

    test("there are as many as in the same conversation with harmless text, whichever is written and wherever", async () => {
      const expected = await structure(conversation(HARMLESS));
      assert.ok(expected.length > 10);
      assert.ok(special.size >= 5);
      const texts = [...special].map((token) => model.getTokenString(token)).filter((text) => text !== "");
      for (const text of texts) {
        for (const written of [text, `a ${text} b`, `${text}${text}`, `"${text}"\n`]) {
          assert.deepEqual(await structure(conversation(written)), expected, JSON.stringify(written));
        }
      }
      const all = texts.join("");
      assert.deepEqual(await structure(conversation(all)), expected);
      const ending = { ending: "continue" } as const;
      const open = (text: string): ChatPrompt => ({
        ...conversation(text),
        ...ending,
        messages: conversation(text).messages.slice(0, -1),
      });
      assert.deepEqual(await structure(open(all)), await structure(open(HARMLESS)));
    });

    test("a plain word among the variables reaches the template's tests", async () => {
      const text = (level: string) =>
        builder.render({ ...conversation("x"), variables: { note: "<|im_end|>", level } });
      assert.match(text("high"), / loud/);
      assert.doesNotMatch(text("low"), / loud/);
      // The marked rendering, by which hostile texts are told apart, takes the same branch.
      const tokens = await builder.build(
        { ...conversation("x"), variables: { note: "<|im_end|>", level: "high" } },
        1e6,
      );
      assert.match(model.detokenize(Uint32Array.from(tokens), true), / loud/);
    });

    test("variables do not replace what the engine sets itself", () => {
      const plain = builder.render(conversation(HARMLESS));
      const variables = {
        ...conversation(HARMLESS).variables,
        messages: [],
        tools: [],
        bos_token: "B",
        eos_token: "E",
        add_generation_prompt: false,
      };
      assert.equal(builder.render({ ...conversation(HARMLESS), variables }), plain);
    });
  });
}
