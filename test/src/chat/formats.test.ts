/** Every format of calls with the demo model under a template that teaches it. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { triggerOf } from "../../../src/chat/call-syntax.ts";
import { startChat } from "../../../src/chat/start-chat.ts";
import { toPrompt } from "../../../src/chat/prompt.ts";
import type { ChatTask, ToolChoice } from "../../../src/domain/chat.ts";
import type { Engine } from "../../../src/domain/engine.ts";
import type { ChatMessage, SamplingOptions, ToolDefinition } from "../../../src/domain/generation.ts";
import { creative, greedy } from "../../support/demo-model.ts";
import { startWithTemplate } from "../../support/template-engine.ts";
import { FOREIGN, PLAIN, TEMPLATES, UNKNOWN } from "./templates.ts";

const string = { type: "string", maxLength: 12 };
const weather: ToolDefinition = {
  name: "get_weather",
  description: "The weather of a place",
  parameters: { type: "object", properties: { place: string }, required: ["place"] },
};
const time: ToolDefinition = {
  name: "get_weather_at",
  parameters: {
    type: "object",
    properties: { hour: { type: "integer", minimum: 0, maximum: 23 }, place: string },
    required: ["hour", "place"],
  },
};
const user: ChatMessage = { role: "user", content: "What is the weather in Paris?" };

interface Seen {
  readonly text: string;
  readonly calls: { id: string; name: string; arguments: string }[];
  readonly reason: string | undefined;
}

async function run(engine: Engine, toolChoice: ToolChoice, sampling: SamplingOptions, rest: Partial<ChatTask> = {}) {
  const task: ChatTask = {
    messages: [user],
    tools: [weather, time],
    toolChoice,
    parallelCalls: true,
    thinking: "auto",
    ending: "answer",
    variables: {},
    generate: { choices: 1, maxTokens: 200, stop: [], grammar: undefined, sampling, topLogprobs: undefined },
    ...rest,
  };
  const seen = { text: "", calls: [] as Seen["calls"], reason: undefined as string | undefined };
  const { steps } = await startChat(engine, task, new AbortController().signal);
  for await (const step of steps) {
    if (step.type === "text") seen.text += step.text;
    else if (step.type === "call") seen.calls.push({ id: step.id, name: step.name, arguments: "" });
    else if (step.type === "arguments") seen.calls[step.call]!.arguments += step.text;
    else if (step.type === "finish") seen.reason = step.reason;
  }
  return seen;
}

function assertFits({ name, arguments: json }: Seen["calls"][number]): void {
  const values = JSON.parse(json) as { hour?: number; place: string };
  assert.ok(typeof values.place === "string" && Array.from(values.place).length <= 12, json);
  if (name === "get_weather_at") assert.ok(Number.isInteger(values.hour) && values.hour! >= 0 && values.hour! <= 23);
  else assert.equal(name, "get_weather");
}

const GENERIC = "<tool_call>";
/** The word that each template's calls begin with. */
const TRIGGERS: Record<keyof typeof TEMPLATES, string> = {
  "llama 3": "{",
  "mistral, a list": "[TOOL_CALLS]",
  "mistral, names": "[TOOL_CALLS]",
  "mistral, names and ids": "[TOOL_CALLS]",
  "deepseek, plain": "<｜tool▁calls▁begin｜>",
  "deepseek, fenced": "<｜tool▁calls▁begin｜>",
  "functionary 3.1": "<function=",
  "qwen 3 coder": "<tool_call>",
  "seed-oss": "<seed:tool_call>",
  "glm 4.5": "<tool_call>",
  "command r7b": "<|START_ACTION|>",
};
const cases = [
  ...Object.entries(TEMPLATES).map(([name, template]) => [name, template, TRIGGERS[name as keyof typeof TRIGGERS]]),
  ["a template without tools", PLAIN, GENERIC],
  ["an unknown syntax", UNKNOWN, GENERIC],
  ["an unknown syntax with a known word", FOREIGN, GENERIC],
] as const;
for (const [name, template, trigger] of cases) {
  describe(`calls: ${name}`, () => {
    let running: Awaited<ReturnType<typeof startWithTemplate>>;
    before(async () => {
      running = await startWithTemplate(template);
    });
    after(() => running.close());

    test("a call and its result, and two at once, are read as the template writes them", () => {
      const calls = [
        { id: "call_0123456789abcdef", name: "get_weather", arguments: '{"place":"Rome"}' },
        { id: "call_fedcba9876543210", name: "get_weather_at", arguments: '{"hour":7,"place":"Oslo"}' },
      ];
      for (const count of [1, 2]) {
        const messages: ChatMessage[] = [
          user,
          { role: "assistant", content: "", toolCalls: calls.slice(0, count) },
          ...calls.slice(0, count).map(({ id }, index): ChatMessage => ({
            role: "tool",
            toolCallId: id,
            content: `result ${index}`,
          })),
        ];
        const { prompt, syntax } = toPrompt(running.engine, {
          messages,
          tools: [weather, time],
          ending: "answer",
          variables: {},
        } as unknown as ChatTask);
        assert.equal(triggerOf(syntax), trigger);
        const text = running.engine.render(prompt);
        assert.ok(text.includes(trigger));
        assert.ok(!text.includes("<invoke"), "the generic form stands in for one that is not known");
        const parts = [
          "The weather of a place",
          "get_weather",
          "Rome",
          "result 0",
          ...(count === 2 ? ["Oslo", "result 1"] : []),
        ];
        for (const part of parts) assert.ok(text.includes(part), `${part} in ${text}`);
      }
    });

    test("forced calls are calls of the schemas, and nothing else", async () => {
      for (const seed of [1n, 2n]) {
        const seen = await run(running.engine, { mode: "required" }, { ...creative, seed });
        assert.equal(seen.text, "");
        if (seen.reason === "length") continue;
        assert.equal(seen.reason, "tool_calls");
        assert.ok(seen.calls.length > 0);
        seen.calls.forEach(assertFits);
      }
      const named = await run(running.engine, { mode: "function", name: "get_weather_at" }, greedy);
      assert.deepEqual([named.text, named.reason, named.calls.length], ["", "tool_calls", 1]);
      assert.equal(named.calls[0]!.name, "get_weather_at");
      assertFits(named.calls[0]!);
    });

    test("whether to call is the model's choice, and none is none", async () => {
      for (const seed of [1n, 2n]) {
        const auto = await run(running.engine, { mode: "auto" }, { ...creative, temperature: 0.7, seed });
        auto.calls.forEach(assertFits);
        if (auto.reason === "stop") assert.deepEqual(auto.calls, []);
        const none = await run(running.engine, { mode: "none" }, { ...creative, temperature: 0.7, seed });
        assert.deepEqual(none.calls, []);
      }
    });
  });
}
