/** Tool calls over HTTP: the app, the real engine and the demo model, which knows the format of Hermes. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import supertest from "supertest";

import type { Engine } from "../../src/domain/engine.ts";
import { startDemoEngine } from "../support/demo-engine.ts";
import { transcripts } from "../support/demo-model.ts";
import { appOf, eventsIn } from "../support/server.ts";

interface Call {
  readonly id: string;
  readonly type: string;
  readonly function: { readonly name: string; readonly arguments: string };
}
interface Choice {
  readonly index: number;
  readonly finish_reason: string | null;
  readonly logprobs: { readonly content: { readonly token: string; readonly bytes: number[] }[] } | null;
  readonly message: {
    readonly content: string | null;
    readonly tool_calls?: readonly Call[];
    readonly function_call?: Call["function"];
  };
}
interface Answer {
  readonly choices: readonly Choice[];
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number };
}

const tool = (name: string, properties: object, rest: object = {}) => ({
  type: "function",
  function: {
    name,
    description: `The function ${name}`,
    parameters: { type: "object", properties, required: Object.keys(properties) },
    ...rest,
  },
});
const weather = tool("get_weather", { city: { type: "string", maxLength: 30 } });
const time = tool("get_time", { city: { type: "string", maxLength: 30 } });
const asks = (content: string) => [{ role: "user", content }];
const WEATHER = asks("What is the weather in Paris?");
/** What no tool fits, so that only a grammar makes the model call one. */
const CAPITAL = asks("What is the capital of France?");

describe("tools over the demo model", () => {
  let engine: Engine;
  before(async () => {
    engine = await startDemoEngine();
  });
  after(() => engine.close());

  const post = (body: object, path = "/v1/chat/completions") =>
    supertest(appOf(engine))
      .post(path)
      .send({ temperature: 0, max_tokens: 200, ...body });
  const ask = async (body: object): Promise<Answer> => {
    const { status, body: answer } = await post(body);
    assert.equal(status, 200, JSON.stringify(answer));
    return answer as Answer;
  };
  const first = async (body: object): Promise<Choice> => (await ask(body)).choices[0]!;
  const callsOf = ({ message }: Choice) =>
    (message.tool_calls ?? []).map((call) => [call.function.name, JSON.parse(call.function.arguments) as object]);
  const stream = async (body: object) => {
    const { text } = await post({ ...body, stream: true }).expect(200);
    const events = eventsIn(text);
    assert.equal(events.pop(), "[DONE]");
    return events.map((event) => (JSON.parse(event) as { choices: Delta[] }).choices[0]!);
  };
  interface Delta {
    readonly index: number;
    readonly finish_reason: string | null;
    readonly logprobs: Choice["logprobs"];
    readonly delta: {
      readonly content?: string;
      readonly tool_calls?: readonly (Partial<Call> & { readonly index: number })[];
    };
  }

  const golden = transcripts.filter(({ tools }) => tools !== undefined);
  for (const transcript of golden) {
    const { messages, tools, expected_text: text, expected_tool_calls: calls = [] } = transcript;
    test(`golden: ${transcript.skill}: ${JSON.stringify(messages.at(-1)?.content)}`, async () => {
      const choice = await first({ messages, tools });
      assert.deepEqual(
        callsOf(choice),
        calls.map((call) => [call.name, call.arguments]),
      );
      assert.equal(choice.finish_reason, calls.length > 0 ? "tool_calls" : "stop");
      assert.equal(choice.message.content, calls.length > 0 ? null : text);
    });
  }

  test("a call has a type and an id of its own, each of n choices too", async () => {
    const messages = asks("What is the weather in Paris and London?");
    const { choices } = await ask({ messages, tools: [weather], n: 2 });
    const calls = choices.flatMap(({ message }) => message.tool_calls ?? []);
    assert.equal(calls.length, 4);
    assert.equal(new Set(calls.map(({ id }) => id)).size, 4);
    for (const { id, type } of calls) {
      assert.match(id, /^call_[A-Za-z0-9]+$/);
      assert.equal(type, "function");
    }
  });

  test("a stream gives a call's id and name once, then pieces that join to its arguments", async () => {
    const body = { messages: asks("What is the weather in Paris and London?"), tools: [weather] };
    const whole = await first(body);
    const deltas = await stream(body);
    const fragments = deltas.flatMap(({ delta }) => delta.tool_calls ?? []);
    const joined = [0, 1].map((index) => {
      const [head, ...pieces] = fragments.filter((fragment) => fragment.index === index);
      assert.match(head!.id!, /^call_/);
      assert.deepEqual([head!.type, head!.function], ["function", { name: "get_weather", arguments: "" }]);
      for (const piece of pieces) assert.deepEqual(Object.keys(piece), ["index", "function"]);
      return pieces.map((piece) => piece.function!.arguments).join("");
    });
    assert.deepEqual(
      joined,
      whole.message.tool_calls?.map((call) => call.function.arguments),
    );
    assert.ok(fragments.length > 8, "arguments come in pieces");
    assert.deepEqual(deltas.at(-1)?.delta, {});
    assert.equal(deltas.at(-1)?.finish_reason, "tool_calls");
    assert.ok(deltas.every(({ delta }) => !delta.content));
  });

  test("required always calls a tool, at every temperature, for a model that would not", async () => {
    for (const temperature of [0, 1, 2]) {
      for (let seed = 0; seed < 8; seed++) {
        const body = { messages: CAPITAL, tools: [weather, time], tool_choice: "required", temperature, seed };
        const choice = await first({ ...body, max_tokens: 400 });
        if (choice.finish_reason === "length") continue;
        assert.equal(choice.finish_reason, "tool_calls");
        assert.equal(choice.message.content, null);
        const calls = callsOf(choice);
        assert.ok(calls.length > 0);
        for (const [name, values] of calls) {
          assert.ok(["get_weather", "get_time"].includes(name as string));
          assert.equal(typeof (values as { city: string }).city, "string");
        }
      }
    }
  });

  test("a named function is called exactly once, whatever was asked", async () => {
    const named = { type: "function", function: { name: "get_time" } };
    for (const messages of [CAPITAL, asks("What is the weather in Paris and London?")]) {
      const choice = await first({ messages, tools: [weather, time], tool_choice: named });
      assert.deepEqual(
        callsOf(choice).map(([name]) => name),
        ["get_time"],
      );
      assert.equal(choice.finish_reason, "tool_calls");
    }
  });

  test("allowed tools are the only ones called, in both modes", async () => {
    const allowed = (mode: string) => ({
      type: "allowed_tools",
      allowed_tools: { mode, tools: [{ type: "function", function: { name: "get_time" } }] },
    });
    const required = await first({ messages: WEATHER, tools: [weather, time], tool_choice: allowed("required") });
    assert.ok(callsOf(required).every(([name]) => name === "get_time"));
    assert.equal(required.finish_reason, "tool_calls");
    const auto = await first({ messages: WEATHER, tools: [weather, time], tool_choice: allowed("auto") });
    assert.ok(callsOf(auto).every(([name]) => name === "get_time"));
    const text = await first({ messages: CAPITAL, tools: [weather, time], tool_choice: allowed("auto") });
    assert.equal(text.message.content, "The capital of France is Paris.");
  });

  test("none leaves the tools in the prompt and makes no call, not even as text", async () => {
    const body = { messages: WEATHER, tools: [weather] };
    const withTools = await ask({ ...body, tool_choice: "none" });
    const without = await ask({ messages: WEATHER });
    assert.ok(withTools.usage.prompt_tokens > without.usage.prompt_tokens + 20);
    for (const seed of [1, 2, 3, 4]) {
      const { message, finish_reason: reason } = await first({ ...body, tool_choice: "none", temperature: 1, seed });
      assert.equal(message.tool_calls, undefined);
      assert.ok(!message.content?.includes("<tool_call>"), message.content ?? "");
      assert.notEqual(reason, "tool_calls");
    }
  });

  test("parallel_tool_calls: false is one call at most", async () => {
    const messages = asks("What is the weather in Paris and London?");
    const choice = await first({ messages, tools: [weather], parallel_tool_calls: false });
    assert.deepEqual(callsOf(choice), [["get_weather", { city: "Paris" }]]);
    assert.equal(choice.finish_reason, "tool_calls");
  });

  test("arguments fit their schema, strict or not", async () => {
    const schema = {
      unit: { enum: ["celsius", "fahrenheit"] },
      days: { type: "integer", minimum: 1, maximum: 14 },
      place: { type: "object", properties: { zip: { type: "string", pattern: "^[0-9]{5}$" } }, required: ["zip"] },
    };
    for (const strict of [true, false]) {
      const choice = await first({
        messages: CAPITAL,
        tools: [tool("forecast", schema, { strict })],
        tool_choice: "required",
        parallel_tool_calls: false,
        temperature: 2,
        seed: 5,
      });
      const [[name, values]] = callsOf(choice) as [[string, { unit: string; days: number; place: { zip: string } }]];
      assert.equal(name, "forecast");
      assert.ok(["celsius", "fahrenheit"].includes(values.unit));
      assert.ok(Number.isInteger(values.days) && values.days >= 1 && values.days <= 14);
      assert.match(values.place.zip, /^[0-9]{5}$/);
    }
  });

  test("a function without parameters is called with {}", async () => {
    const tools = [{ type: "function", function: { name: "refresh" } }];
    const choice = await first({ messages: CAPITAL, tools, tool_choice: "required", parallel_tool_calls: false });
    assert.equal(choice.message.tool_calls?.[0]?.function.arguments, "{}");
  });

  test("a call that the token limit cuts ends with length", async () => {
    const body = { messages: WEATHER, tools: [weather], tool_choice: "required" };
    const whole = await ask(body);
    for (let limit = 1; limit < whole.usage.completion_tokens - 8; limit += 3) {
      const { finish_reason: reason, message } = await first({ ...body, max_tokens: limit });
      assert.equal(reason, "length");
      assert.equal(message.content ?? "", "");
    }
  });

  test("a response format governs the text, the schemas govern calls", async () => {
    const format = {
      type: "json_schema",
      json_schema: { name: "c", schema: { type: "object", properties: { x: { enum: [1, 2] } }, required: ["x"] } },
    };
    const tools = [weather];
    const call = await first({ messages: WEATHER, tools, response_format: format });
    assert.deepEqual(callsOf(call), [["get_weather", { city: "Paris" }]]);
    const text = await first({ messages: CAPITAL, tools, response_format: format, tool_choice: "none" });
    assert.ok([1, 2].includes((JSON.parse(text.message.content!) as { x: number }).x));
    const either = await first({ messages: CAPITAL, tools, response_format: format });
    assert.ok(either.message.tool_calls ?? JSON.parse(either.message.content!));
    const forced = await first({ messages: CAPITAL, tools, response_format: format, tool_choice: "required" });
    assert.equal(forced.finish_reason, "tool_calls");
  });

  test("log probabilities have one entry for each token of a call, in a stream too", async () => {
    const body = { messages: WEATHER, tools: [weather], logprobs: true, top_logprobs: 2, n: 1 };
    const { choices, usage } = await ask(body);
    const entries = choices[0]!.logprobs!.content;
    assert.equal(entries.length, usage.completion_tokens);
    const text = Buffer.from(entries.flatMap(({ bytes }) => bytes)).toString();
    assert.match(text, /^<tool_call>\n\{"name": "get_weather", "arguments": \{"city": "Paris"\}\}\n<\/tool_call>$/);
    const streamed = (await stream(body)).flatMap(({ logprobs }) => logprobs?.content ?? []);
    assert.deepEqual(
      streamed.map(({ token }) => token),
      entries.map(({ token }) => token),
    );
  });

  test("a call and its result go back into the prompt, and count in it", async () => {
    const asked = await first({ messages: WEATHER, tools: [weather] });
    const [call] = asked.message.tool_calls!;
    const messages = [...WEATHER, asked.message, { role: "tool", tool_call_id: call!.id, content: "sunny, 21°C" }];
    const { choices, usage } = await ask({ messages, tools: [weather] });
    assert.equal(choices[0]!.message.content, "The weather in Paris: sunny, 21°C.");
    const { body } = await post({ messages, tools: [weather] }, "/v1/chat/completions/input_tokens");
    assert.deepEqual(body, { object: "response.input_tokens", input_tokens: usage.prompt_tokens });
    const { body: rendered } = await post({ messages, tools: [weather] }, "/apply-template");
    assert.match((rendered as { prompt: string }).prompt, /"city": "Paris"[^]*sunny, 21°C/);
  });

  test("the old functions are called in the old form", async () => {
    const functions = [weather.function];
    const choice = await first({ messages: WEATHER, functions });
    assert.equal(choice.finish_reason, "function_call");
    assert.deepEqual(choice.message.function_call, { name: "get_weather", arguments: '{"city": "Paris"}' });
    assert.equal(choice.message.tool_calls, undefined);
    const named = await first({ messages: CAPITAL, functions, function_call: { name: "get_weather" } });
    assert.equal(named.message.function_call?.name, "get_weather");
    const chunks = (await stream({ messages: WEATHER, functions })) as unknown as {
      delta: { function_call?: { name?: string; arguments: string } };
    }[];
    const pieces = chunks.flatMap(({ delta }) => delta.function_call ?? []);
    assert.equal(pieces[0]!.name, "get_weather");
    assert.equal(pieces.map((piece) => piece.arguments).join(""), '{"city": "Paris"}');
    const messages = [
      ...WEATHER,
      { role: "assistant", content: null, function_call: choice.message.function_call },
      { role: "function", name: "get_weather", content: "sunny, 21°C" },
    ];
    assert.equal((await first({ messages, functions })).message.content, "The weather in Paris: sunny, 21°C.");
  });

  test("an empty list of tools is no tools", async () => {
    assert.equal((await first({ messages: CAPITAL, tools: [] })).message.content, "The capital of France is Paris.");
    const { status } = await post({ messages: CAPITAL, tools: [], tool_choice: "required" });
    assert.equal(status, 400);
  });

  test("a refusal names the tool and the member", async () => {
    const f = (members: object) => ({ type: "function", function: { name: "f", ...members } });
    const cases: [object, string, string][] = [
      [{ tools: {} }, "invalid_type", "tools"],
      [{ tools: [5] }, "invalid_type", "tools[0]"],
      [{ tools: [weather, { type: "function" }] }, "missing_required_parameter", "tools[1].function"],
      [{ tools: [{ function: { name: "f" } }] }, "missing_required_parameter", "tools[0].type"],
      [{ tools: [f({}), f({ name: "a b" })] }, "invalid_value", "tools[1].function.name"],
      [{ tools: [f({ name: "x".repeat(65) })] }, "invalid_value", "tools[0].function.name"],
      [{ tools: [f({ name: "" })] }, "invalid_value", "tools[0].function.name"],
      [{ tools: [f({}), f({})] }, "invalid_value", "tools[1].function.name"],
      [{ tools: [f({ parameters: [] })] }, "invalid_type", "tools[0].function.parameters"],
      [{ tools: [f({ parameters: { type: "array" } })] }, "invalid_json_schema", "tools[0].function.parameters"],
      [
        { tools: [weather, f({ parameters: { type: "object", properties: { a: { type: "date" } } } })] },
        "invalid_json_schema",
        "tools[1].function.parameters",
      ],
      [
        { tools: [f({ strict: true, parameters: { type: "object", properties: { a: { not: {} } } } })] },
        "invalid_json_schema",
        "tools[0].function.parameters",
      ],
      [{ tools: Array.from({ length: 129 }, (_, at) => f({ name: `f${at}` })) }, "invalid_value", "tools"],
      [{ tools: [{ type: "custom", custom: { name: "f" } }] }, "unsupported_value", "tools[0].type"],
      [{ tool_choice: "required" }, "invalid_value", "tool_choice"],
      [{ tools: [weather], tool_choice: "any" }, "invalid_value", "tool_choice"],
      [{ tools: [weather], tool_choice: f({}) }, "invalid_value", "tool_choice.function.name"],
      [
        {
          tools: [weather],
          tool_choice: { type: "allowed_tools", allowed_tools: { mode: "auto", tools: [f({})] } },
        },
        "invalid_value",
        "tool_choice.allowed_tools.tools[0].function.name",
      ],
      [{ tools: [weather], parallel_tool_calls: "no" }, "invalid_type", "parallel_tool_calls"],
      [{ tools: [weather], grammar: 'root ::= "a"' }, "invalid_value", "grammar"],
      [{ tools: [weather], functions: [weather.function] }, "invalid_value", "functions"],
    ];
    for (const [members, code, param] of cases) {
      const { status, body } = await post({ messages: CAPITAL, ...members });
      const { error } = body as { error: { code: string; param: string; message: string } };
      assert.deepEqual([status, error?.code, error?.param], [400, code, param], JSON.stringify([members, body]));
    }
  });
});
