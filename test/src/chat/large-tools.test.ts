import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { startChat } from "../../../src/chat/start-chat.ts";
import type { ChatTask } from "../../../src/domain/chat.ts";
import type { Engine } from "../../../src/domain/engine.ts";
import type { ToolDefinition } from "../../../src/domain/generation.ts";
import { startDemoEngine } from "../../support/demo-engine.ts";
import { greedy } from "../../support/demo-model.ts";

const never = new AbortController().signal;

function toolsOf(count: number, property: (at: number) => object, properties: number): ToolDefinition[] {
  const all = Object.fromEntries(Array.from({ length: properties }, (_, at) => [`property_${at}`, property(at)]));
  return Array.from({ length: count }, (_, at) => ({
    name: `do_something_${at}`,
    parameters: { type: "object", properties: all, required: ["property_0"] },
  }));
}

function taskOf(tools: readonly ToolDefinition[]): ChatTask {
  return {
    messages: [{ role: "user", content: "Hi" }],
    tools,
    toolChoice: { mode: "required" },
    parallelCalls: false,
    thinking: "auto",
    ending: "answer",
    variables: {},
    generate: { choices: 1, maxTokens: 40, stop: [], grammar: undefined, sampling: greedy, topLogprobs: undefined },
  };
}

describe("many tools", () => {
  let engine: Engine;
  before(async () => {
    engine = await startDemoEngine();
  });
  after(() => engine.close());

  /** The definitions alone are more than the demo model can read, so it is given the grammar without them. */
  const withoutDefinitions = (): Engine =>
    new Proxy(engine, {
      get: (target, name) => {
        if (name === "generate") {
          const generate: Engine["generate"] = (request, signal) =>
            target.generate(
              { ...request, prompt: { kind: "chat", messages: [{ role: "user", content: "Hi" }] } },
              signal,
            );
          return generate;
        }
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === "function" ? (value as () => unknown).bind(target) : value;
      },
    });

  test("128 tools of 30 parameters each have one grammar", async () => {
    const kinds = [
      { type: "string" },
      { enum: ["one", "two"] },
      { type: "integer", minimum: 0, maximum: 99 },
      { type: "array", items: { type: "string" } },
    ];
    const tools = toolsOf(128, (at) => kinds[at % 4]!, 30);
    const { steps } = await startChat(withoutDefinitions(), taskOf(tools), never);
    const names: string[] = [];
    for await (const step of steps) if (step.type === "call") names.push(step.name);
    assert.equal(names.length, 1);
    assert.ok(tools.some(({ name }) => name === names[0]));
  });

  test("what is too large together is refused by the tools' name, before anything runs", async () => {
    const tools = toolsOf(128, () => ({ type: "string", maxLength: 1500 }), 2);
    await assert.rejects(startChat(withoutDefinitions(), taskOf(tools), never), {
      code: "invalid_json_schema",
      param: "tools",
    });
  });
});
