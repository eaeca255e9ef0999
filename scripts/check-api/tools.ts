import assert from "node:assert/strict";

import { PATH, say, choicesOf, messageOf, usageOf, chunksOf, weather, ask, assertFits } from "./chat-answers.ts";
import type { Members } from "./client.ts";
import { refuses, refusesEach, section } from "./checks.ts";

const { checks, check } = section("4 chat completions");
export const tools = checks;

check("required always calls, whole and streamed, and arguments fit the schema", async ({ client }) => {
  for (const temperature of [0, 1, 2]) {
    const answer = await client.ask(PATH, { ...ask, tools: [weather], tool_choice: "required", temperature, seed: 3 });
    const [choice] = choicesOf(answer);
    if (choice!.finish_reason === "length") continue;
    assert.deepEqual([choice!.finish_reason, choice!.message.content], ["tool_calls", null]);
    const calls = choice!.message.tool_calls!;
    for (const { id, type, function: called } of calls) {
      assert.ok(id.length > 3 && type === "function" && called.name === "get_weather");
      assertFits(called.arguments);
    }
    assert.equal(new Set(calls.map(({ id }) => id)).size, calls.length);
  }
});
check("a named function is called exactly once", async ({ client }) => {
  for (const name of ["get_weather", "get_time"]) {
    const answer = await client.ask(PATH, {
      ...ask,
      tool_choice: { type: "function", function: { name } },
      temperature: 1,
      seed: 6,
    });
    const calls = messageOf(answer).tool_calls!;
    assert.deepEqual(
      calls.map((call) => call.function.name),
      [name],
    );
    if (name === "get_time") assert.deepEqual(JSON.parse(calls[0]!.function.arguments), {});
  }
});
check("allowed_tools narrow the choice", async ({ client }) => {
  const tool_choice = {
    type: "allowed_tools",
    allowed_tools: { mode: "required", tools: [{ type: "function", function: { name: "get_time" } }] },
  };
  const calls = messageOf(await client.ask(PATH, { ...ask, tool_choice })).tool_calls!;
  assert.ok(calls.length > 0 && calls.every((call) => call.function.name === "get_time"));
});
check("none never calls", async ({ client }) => {
  const message = messageOf(await client.ask(PATH, { ...ask, tool_choice: "none", max_tokens: 30 }));
  assert.equal(message.tool_calls, undefined);
  assert.equal(typeof message.content, "string");
});
check("parallel_tool_calls false gives at most one call", async ({ client }) => {
  const calls = messageOf(
    await client.ask(PATH, { ...ask, tool_choice: "required", parallel_tool_calls: false, temperature: 1, seed: 8 }),
  ).tool_calls!;
  assert.equal(calls.length, 1);
});
check("a streamed call has its head once, then pieces of arguments that join", async ({ client }) => {
  const events = await client.stream(PATH, {
    ...ask,
    tools: [weather],
    tool_choice: { type: "function", function: { name: "get_weather" } },
  });
  const deltas = chunksOf(events).flatMap((chunk) => choicesOf(chunk).flatMap(({ delta }) => delta.tool_calls ?? []));
  const [head, ...pieces] = deltas;
  assert.deepEqual(
    [head!.index, head!.type, head!.function!.name, head!.function!.arguments],
    [0, "function", "get_weather", ""],
  );
  assert.ok(pieces.every((piece) => piece.id === undefined && piece.function!.name === undefined));
  assertFits(pieces.map((piece) => piece.function!.arguments).join(""));
  const reasons = chunksOf(events).flatMap((chunk) => choicesOf(chunk).map(({ finish_reason: reason }) => reason));
  assert.equal(reasons.at(-1), "tool_calls");
});
check(
  "tools and choices of wrong shape are refused by name",
  refusesEach(PATH, { ...say, tools: [weather] }, [
    [{ tools: {} }, "invalid_type", "tools"],
    [{ tools: [{}] }, ["missing_required_parameter", "invalid_value"], "tools[0].type"],
    [{ tools: [{ type: "function", function: {} }] }, "missing_required_parameter", "tools[0].function.name"],
    [{ tools: [{ type: "function", function: { name: "a b" } }] }, "invalid_value", "tools[0].function.name"],
    [
      { tools: [{ type: "function", function: { name: "a", parameters: 3 } }] },
      "invalid_type",
      "tools[0].function.parameters",
    ],
    [{ tool_choice: "sometimes" }, "invalid_value", "tool_choice"],
    [{ tools: [], tool_choice: "required" }, "invalid_value", "tool_choice"],
  ]),
);
check("doubled names, unknown functions, custom tools and a grammar beside tools are refused", async ({ client }) => {
  for (const body of [
    { tools: [weather, weather] },
    { tools: [weather], tool_choice: { type: "function", function: { name: "none" } } },
    { tools: [{ type: "custom", custom: { name: "x" } }] },
    { tools: [weather], grammar: 'root ::= "a"' },
  ]) {
    await refuses(client, PATH, { ...say, ...body }, {});
  }
});
check("tools count in the prompt, as input_tokens tells", async ({ client }) => {
  const count = async (body: Members) =>
    (await client.ask(`${PATH}/input_tokens`, body)) as { object: string; input_tokens: number };
  const { object, input_tokens } = await count(ask);
  assert.equal(object, "response.input_tokens");
  assert.equal(input_tokens, usageOf(await client.ask(PATH, ask))["prompt_tokens"]);
  assert.ok(input_tokens > (await count({ ...ask, tools: [] })).input_tokens + 10);
});
