import assert from "node:assert/strict";

import type { Client, Members, StreamedEvent } from "./client.ts";
import { hasMembers, refuses, refusesEach, section, user } from "./checks.ts";

const { checks, check } = section("4 chat completions");
export const chat = checks;

const PATH = "/v1/chat/completions";
const say = { messages: [user("Say this is a test")], temperature: 0 };

interface Call {
  readonly index?: number;
  readonly id: string;
  readonly type: string;
  readonly function: { readonly name: string; readonly arguments: string };
}
interface Choice {
  readonly index: number;
  readonly finish_reason: string | null;
  readonly logprobs: { readonly content: Members[]; readonly refusal: null } | null;
  readonly message: {
    readonly role: string;
    readonly content: string | null;
    readonly refusal: null;
    readonly tool_calls?: Call[];
  };
  readonly delta: { readonly role?: string; readonly content?: string; readonly tool_calls?: Partial<Call>[] };
}
const choicesOf = (answer: Members) => answer["choices"] as Choice[];
const messageOf = (answer: Members) => choicesOf(answer)[0]!.message;
const usageOf = (answer: Members) => answer["usage"] as Record<string, number>;
const chunksOf = (events: readonly StreamedEvent[]) =>
  events.filter(({ data }) => data !== "[DONE]").map(({ json }) => json);
const textOf = (events: readonly StreamedEvent[], index = 0) =>
  chunksOf(events)
    .flatMap((chunk) => choicesOf(chunk).filter((choice) => choice.index === index))
    .map(({ delta }) => delta.content ?? "")
    .join("");

const weather = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather of a city.",
    parameters: {
      type: "object",
      properties: { city: { type: "string", maxLength: 20 }, unit: { enum: ["c", "f"] } },
      required: ["city", "unit"],
      additionalProperties: false,
    },
  },
};
const clock = {
  type: "function",
  function: { name: "get_time", parameters: { type: "object", properties: {}, additionalProperties: false } },
};
const ask = {
  messages: [user("What is the weather in Paris?")],
  tools: [weather, clock],
  temperature: 0,
  max_tokens: 200,
};

function assertFits(text: string): void {
  const { city, unit } = JSON.parse(text) as { city: unknown; unit: unknown };
  assert.equal(typeof city, "string");
  assert.ok(unit === "c" || unit === "f");
}

check("the answer has every member of OpenAI's, and timings", async ({ client, model }) => {
  const answer = await client.ask(PATH, say);
  hasMembers(answer, "id object created model system_fingerprint choices usage timings service_tier");
  assert.match(String(answer["id"]), /^chatcmpl-/);
  assert.deepEqual([answer["object"], answer["model"]], ["chat.completion", model.id]);
  assert.ok(Math.abs(Number(answer["created"]) - Date.now() / 1000) < 120);
  const [choice] = choicesOf(answer);
  hasMembers(choice, "index finish_reason logprobs message");
  assert.deepEqual([choice!.logprobs, choice!.message.role, choice!.message.refusal], [null, "assistant", null]);
  hasMembers(
    answer["usage"],
    "prompt_tokens completion_tokens total_tokens prompt_tokens_details completion_tokens_details",
  );
  assert.equal(
    usageOf(answer)["total_tokens"],
    usageOf(answer)["prompt_tokens"]! + usageOf(answer)["completion_tokens"]!,
  );
});
check("timings add up to the prompt and hold no null", async ({ client }) => {
  const answer = await client.ask(PATH, say);
  const timings = answer["timings"] as Record<string, number>;
  hasMembers(
    timings,
    "cache_n prompt_n prompt_ms prompt_per_token_ms prompt_per_second predicted_n predicted_ms predicted_per_token_ms predicted_per_second",
  );
  assert.equal(timings["prompt_n"]! + timings["cache_n"]!, usageOf(answer)["prompt_tokens"]);
  assert.ok(Object.values(timings).every((value) => Number.isFinite(value)));
});
check("system_fingerprint is stable", async ({ client }) => {
  const print = async () => (await client.ask(PATH, { ...say, max_tokens: 1 }))["system_fingerprint"];
  assert.equal(await print(), await print());
});
check("every parameter that only OpenAI's service needs is accepted", async ({ client }) => {
  const reply = await client.post(PATH, {
    ...say,
    user: "u",
    safety_identifier: "s",
    metadata: { a: "b" },
    store: false,
    service_tier: "auto",
    prompt_cache_key: "k",
    prompt_cache_retention: "24h",
    verbosity: "low",
    prediction: { type: "content", content: "x" },
    modalities: ["text"],
    parallel_tool_calls: true,
    tools: [],
    max_completion_tokens: 3,
  });
  assert.equal(reply.status, 200, reply.text);
});
check(
  "what needs another model or service is refused by name",
  refusesEach(PATH, say, [
    [{ modalities: ["text", "audio"] }, ["unsupported_value", "unsupported_parameter"], "modalities"],
    [{ audio: { voice: "x", format: "wav" } }, ["unsupported_value", "unsupported_parameter"], "audio"],
    [{ web_search_options: {} }, ["unsupported_value", "unsupported_parameter"], "web_search_options"],
  ]),
);
check(
  "types and ranges are checked",
  refusesEach(PATH, say, [
    [{ n: 0 }, "invalid_value", "n"],
    [{ n: 129 }, "invalid_value", "n"],
    [{ max_tokens: 0 }, "invalid_value", "max_tokens"],
    [{ max_completion_tokens: -2 }, "invalid_value", "max_completion_tokens"],
    [{ max_tokens: 1.5 }, "invalid_type", "max_tokens"],
    [{ metadata: { a: 1 } }, "invalid_type", "metadata.a"],
    [{ stop: Array(65).fill("x") }, "invalid_value", "stop"],
    [{ top_logprobs: 3 }, "invalid_value", "top_logprobs"],
    [{ logprobs: true, top_logprobs: 21 }, "invalid_value", "top_logprobs"],
    [{ logprobs: 3 }, "invalid_type", "logprobs"],
    [{ stream_options: { include_usage: true } }, "invalid_value", "stream_options"],
    [{ service_tier: "x" }, "invalid_value", "service_tier"],
    [{ reasoning_effort: "x" }, "invalid_value", "reasoning_effort"],
    [{ reasoning_format: "x" }, "invalid_value", "reasoning_format"],
    [{ chat_template_kwargs: 3 }, "invalid_type", "chat_template_kwargs"],
    [{ add_generation_prompt: 1 }, "invalid_type", "add_generation_prompt"],
  ]),
);
check("max_completion_tokens wins over max_tokens, n_predict over both", async ({ client }) => {
  const count = async (body: Members) =>
    usageOf(await client.ask(PATH, { ...say, ignore_eos: true, ...body }))["completion_tokens"];
  assert.equal(await count({ max_tokens: 9, max_completion_tokens: 4 }), 4);
  assert.equal(await count({ max_tokens: 9, max_completion_tokens: 4, n_predict: 6 }), 6);
});
check("n counts all choices and the prompt once", async ({ client }) => {
  const answer = await client.ask(PATH, { ...say, n: 3, max_tokens: 4, ignore_eos: true });
  assert.deepEqual(
    choicesOf(answer).map(({ index }) => index),
    [0, 1, 2],
  );
  const one = await client.ask(PATH, { ...say, max_tokens: 4, ignore_eos: true });
  assert.equal(usageOf(answer)["prompt_tokens"], usageOf(one)["prompt_tokens"]);
  assert.equal(usageOf(answer)["completion_tokens"], 12);
});
check("more choices than slots are answered", async ({ client }) => {
  assert.equal(choicesOf(await client.ask(PATH, { ...say, n: 12, max_tokens: 2 })).length, 12);
});
check("finish_reason is length at the limit and stop at the end", async ({ client }) => {
  assert.equal(
    choicesOf(await client.ask(PATH, { ...say, max_tokens: 1, ignore_eos: true }))[0]!.finish_reason,
    "length",
  );
  assert.equal(choicesOf(await client.ask(PATH, { ...say, max_tokens: 300 }))[0]!.finish_reason, "stop");
});

check(
  "messages are refused by name",
  refusesEach(PATH, {}, [
    [{ messages: undefined }, "missing_required_parameter", "messages"],
    [{ messages: [] }, "invalid_value", "messages"],
    [{ messages: "x" }, "invalid_type", "messages"],
    [{ messages: ["x"] }, "invalid_type", "messages[0]"],
    [{ messages: [{ content: "x" }] }, "missing_required_parameter", "messages[0].role"],
    [{ messages: [{ role: "bot", content: "x" }] }, "invalid_value", "messages[0].role"],
    [{ messages: [user(null)] }, ["invalid_type", "missing_required_parameter"], "messages[0].content"],
    [{ messages: [user(3)] }, "invalid_type", "messages[0].content"],
    [{ messages: [{ role: "user" }] }, "missing_required_parameter", "messages[0].content"],
    [
      { messages: [user("a"), { role: "tool", content: "x" }] },
      "missing_required_parameter",
      "messages[1].tool_call_id",
    ],
    [{ messages: [user([{ type: "text" }])] }, "missing_required_parameter", "messages[0].content[0].text"],
  ]),
);
check("parts of other media are unsupported, as are all URLs of files", async ({ client }) => {
  for (const part of [
    { type: "image_url", image_url: { url: "https://example.org/a.png" } },
    { type: "image_url", image_url: { url: "file:///etc/passwd" } },
    { type: "input_audio", input_audio: { data: "AA==", format: "wav" } },
    { type: "file", file: { file_id: "x" } },
  ]) {
    const error = await refuses(
      client,
      PATH,
      { messages: [user([part])] },
      { code: ["unsupported_value", "invalid_value"] },
    );
    assert.match(String(error["param"]), /^messages\[0\]\.content\[0\]/);
  }
});
check("text parts join, refusals and empty texts are fine", async ({ client }) => {
  const count = async (messages: unknown) => (await client.ask(`${PATH}/input_tokens`, { messages }))["input_tokens"];
  assert.equal(
    await count([
      user([
        { type: "text", text: "Hello " },
        { type: "text", text: "there" },
      ]),
    ]),
    await count([user("Hello there")]),
  );
  for (const messages of [
    [user("")],
    [user("a"), { role: "assistant", content: [{ type: "refusal", refusal: "no" }] }, user("b")],
  ]) {
    assert.equal((await client.post(PATH, { messages, max_tokens: 2 })).status, 200);
  }
});
check("conversations of any order of roles are answered", async ({ client }) => {
  for (const roles of [
    "system",
    "developer user",
    "assistant user",
    "user user",
    "system system user",
    "assistant assistant user",
    "user assistant",
  ]) {
    const messages = roles.split(" ").map((role) => ({ role, content: "Hello" }));
    const reply = await client.post(PATH, { messages, max_tokens: 2 });
    assert.equal(reply.status, 200, `${roles}: ${reply.text}`);
  }
  const calls = [{ id: "c1", type: "function", function: { name: "f", arguments: "{}" } }];
  const messages = [
    user("a"),
    { role: "assistant", content: null, tool_calls: calls },
    { role: "tool", tool_call_id: "c1", content: "7" },
  ];
  assert.equal((await client.post(PATH, { messages, max_tokens: 2 })).status, 200);
  assert.equal(
    (await client.post(PATH, { messages: [user("a"), { role: "function", name: "f", content: "7" }], max_tokens: 2 }))
      .status,
    200,
  );
});
check("calls and results of tools count in the prompt", async ({ client }) => {
  const count = async (name: string) =>
    Number(
      (
        await client.ask(`${PATH}/input_tokens`, {
          messages: [
            user("a"),
            { role: "assistant", tool_calls: [{ id: "c1", type: "function", function: { name, arguments: "{}" } }] },
            { role: "tool", tool_call_id: "c1", content: "7" },
          ],
        })
      )["input_tokens"],
    );
  assert.ok((await count("a_rather_long_name_of_a_function_that_is_called")) > (await count("f")) + 3);
});
check("a user's text never becomes a control token", async ({ client }) => {
  const count = async (content: string) =>
    Number((await client.ask(`${PATH}/input_tokens`, { messages: [user(content)] }))["input_tokens"]);
  const { bos_token: bos, eos_token: eos } = (await client.get("/props")).json as Record<string, string>;
  for (const token of [eos!, "<|im_end|>", bos!].filter((text) => text !== "")) {
    const { tokens } = (await client.ask("/tokenize", { content: token, parse_special: false })) as {
      tokens: number[];
    };
    assert.ok((await count(`a${token.repeat(4)}b`)) >= (await count("ab")) + 3 * tokens.length, token);
  }
});
check("template syntax in a message is plain text", async ({ client }) => {
  const { prompt } = await client.ask("/apply-template", { messages: [user("{{ 7 * 7 }}{% raw %}")] });
  assert.match(String(prompt), /\{\{ 7 \* 7 \}\}\{% raw %\}/);
});
check("a trailing assistant message is continued", async ({ client }) => {
  const whole = messageOf(await client.ask(PATH, say)).content!;
  const [start, rest] = [whole.slice(0, 7), whole.slice(7)];
  const body = { ...say, messages: [...say.messages, { role: "assistant", content: start }] };
  for (const more of [{}, { continue_final_message: true, add_generation_prompt: false }]) {
    const content = messageOf(await client.ask(PATH, { ...body, ...more })).content!;
    assert.ok(content === rest || content === whole, JSON.stringify([content, rest]));
  }
  await refuses(client, PATH, { ...body, add_generation_prompt: true, continue_final_message: true }, {});
});

check("a stream begins with the role, ends with a reason and [DONE], and says the same text", async ({ client }) => {
  const events = await client.stream(PATH, say);
  assert.equal(events.at(-1)!.data, "[DONE]");
  const chunks = chunksOf(events);
  assert.deepEqual([choicesOf(chunks[0]!)[0]!.delta.role, choicesOf(chunks[0]!)[0]!.delta.content], ["assistant", ""]);
  assert.ok(chunks.slice(1).every((chunk) => choicesOf(chunk).every(({ delta }) => !("role" in delta))));
  const last = choicesOf(chunks.at(-1)!)[0]!;
  assert.deepEqual([last.delta, last.finish_reason], [{}, "stop"]);
  assert.ok("timings" in chunks.at(-1)!);
  for (const name of ["id", "object", "created", "model", "system_fingerprint"])
    assert.equal(new Set(chunks.map((chunk) => chunk[name])).size, 1, name);
  assert.equal(chunks[0]!["object"], "chat.completion.chunk");
  assert.equal(textOf(events), messageOf(await client.ask(PATH, say)).content);
  assert.ok(!events.some(({ data }) => data.includes("\uFFFD")));
});
check("include_usage ends a stream with the usage, null before", async ({ client }) => {
  const chunks = chunksOf(
    await client.stream(PATH, { ...say, stream_options: { include_usage: true, include_obfuscation: false } }),
  );
  const last = chunks.pop()!;
  assert.deepEqual(last["choices"], []);
  assert.equal(usageOf(last)["completion_tokens"], usageOf(await client.ask(PATH, say))["completion_tokens"]);
  assert.ok(chunks.every((chunk) => chunk["usage"] === null));
});
check("a stream of several choices has a role and a reason for each", async ({ client }) => {
  const chunks = chunksOf(await client.stream(PATH, { ...say, n: 2, temperature: 1, seed: 1 }));
  for (const index of [0, 1]) {
    const mine = chunks.flatMap((chunk) => choicesOf(chunk).filter((choice) => choice.index === index));
    assert.equal(mine.filter(({ delta }) => delta.role !== undefined).length, 1);
    assert.equal(mine.filter(({ finish_reason: reason }) => reason !== null).length, 1);
    assert.notEqual(mine.at(-1)!.finish_reason, null);
  }
});
check("no part of a stop string is sent, whole or streamed", async ({ client }) => {
  const whole = messageOf(await client.ask(PATH, say)).content!;
  const stop = whole.slice(4, 9);
  const expected = whole.slice(0, whole.indexOf(stop));
  assert.equal(messageOf(await client.ask(PATH, { ...say, stop: [stop] })).content, expected);
  assert.equal(textOf(await client.stream(PATH, { ...say, stop })), expected);
});
check("timings_per_token adds times to content chunks", async ({ client }) => {
  const chunks = chunksOf(await client.stream(PATH, { ...say, timings_per_token: true }));
  assert.ok(
    chunks.filter((chunk) => (choicesOf(chunk)[0]?.delta.content ?? "") !== "").every((chunk) => "timings" in chunk),
  );
});
check("return_progress reports the prompt's evaluation", async ({ client }) => {
  const chunks = chunksOf(
    await client.stream(PATH, {
      messages: [user("word ".repeat(300))],
      max_tokens: 1,
      return_progress: true,
      cache_prompt: false,
    }),
  );
  const progress = chunks.flatMap(
    (chunk) => (chunk["prompt_progress"] as { total: number; cache: number; processed: number }[] | undefined) ?? [],
  );
  assert.ok(progress.length >= 2);
  assert.deepEqual([progress[0]!.processed, progress.at(-1)!.processed], [progress[0]!.cache, progress[0]!.total]);
});
check("the seed repeats, streamed and not, cached and not, alone and beside others", async ({ client }) => {
  const body = { messages: [user("Tell me a story")], temperature: 1.2, seed: 42, max_tokens: 40 };
  const one = messageOf(await client.ask(PATH, body)).content!;
  assert.equal(textOf(await client.stream(PATH, body)), one);
  assert.equal(messageOf(await client.ask(PATH, { ...body, cache_prompt: false })).content, one);
  const [busy] = await Promise.all([
    client.ask(PATH, body),
    client.ask(PATH, { ...body, seed: 1 }),
    client.ask(PATH, { ...body, seed: 2 }),
  ]);
  assert.equal(messageOf(busy).content, one);
});

check("logprobs have an entry for each token, whose bytes join to the text", async ({ client }) => {
  const answer = await client.ask(PATH, { ...say, logprobs: true, top_logprobs: 2 });
  const { content, refusal } = choicesOf(answer)[0]!.logprobs!;
  assert.equal(refusal, null);
  assert.equal(content.length, usageOf(answer)["completion_tokens"]);
  assert.equal(Buffer.from(content.flatMap(({ bytes }) => bytes as number[])).toString(), messageOf(answer).content);
  for (const entry of content) {
    hasMembers(entry, "token logprob bytes top_logprobs");
    const top = (entry["top_logprobs"] as { logprob: number }[]).map(({ logprob }) => logprob);
    assert.equal(top.length, 2);
    assert.ok(top[0]! >= top[1]! && Number(entry["logprob"]) <= 0);
  }
  const none = await client.ask(PATH, { ...say, logprobs: true });
  assert.ok(choicesOf(none)[0]!.logprobs!.content.every((entry) => (entry["top_logprobs"] as unknown[]).length === 0));
});
check("logprobs are the model's own, whatever the samplers do", async ({ client }) => {
  const first = async (more: Members) =>
    choicesOf(await client.ask(PATH, { ...say, logprobs: true, max_tokens: 1, ...more }))[0]!.logprobs!.content[0]![
      "logprob"
    ] as number;
  assert.ok(Math.abs((await first({})) - (await first({ temperature: 2, top_k: 1 }))) < 1e-3);
});
check("logprobs work in streams, with n and with tools", async ({ client }) => {
  const chunks = chunksOf(
    await client.stream(PATH, { ...say, logprobs: true, n: 2, tools: [clock], tool_choice: "none" }),
  );
  const tokens = chunks.flatMap((chunk) =>
    choicesOf(chunk)
      .filter(({ index }) => index === 1)
      .flatMap(({ logprobs }) => logprobs?.content ?? []),
  );
  assert.ok(tokens.length > 1);
});

check("json_object gives an object", async ({ client }) => {
  for (const seed of [1, 2, 3]) {
    const answer = await client.ask(PATH, {
      ...say,
      response_format: { type: "json_object" },
      temperature: 1,
      seed,
      max_tokens: 300,
    });
    if (choicesOf(answer)[0]!.finish_reason === "stop") assert.match(messageOf(answer).content!.trim(), /^\{/);
  }
});
const person = {
  type: "object",
  properties: {
    name: { type: "string", maxLength: 12 },
    age: { type: "integer", minimum: 0, maximum: 150 },
    tags: { type: "array", items: { enum: ["a", "b"] }, maxItems: 2 },
  },
  required: ["name", "age", "tags"],
  additionalProperties: false,
};
check("json_schema is held at every temperature, for each choice, in both spellings", async ({ client }) => {
  for (const form of [
    { response_format: { type: "json_schema", json_schema: { name: "person", strict: true, schema: person } } },
    { json_schema: person },
  ]) {
    for (const temperature of [0, 1, 2]) {
      const answer = await client.ask(PATH, { ...say, ...form, temperature, seed: 5, n: 2, max_tokens: 300 });
      for (const { finish_reason: reason, message } of choicesOf(answer)) {
        if (reason !== "stop") continue;
        const { name, age, tags } = JSON.parse(message.content!) as { name: string; age: number; tags: string[] };
        assert.ok(name.length <= 12 && Number.isInteger(age) && age <= 150 && tags.length <= 2);
      }
    }
  }
});
check("schemas at the top may be arrays and scalars, recursive, with patterns and formats", async ({ client }) => {
  const schemas: Members[] = [
    { type: "array", items: { type: "boolean" }, minItems: 1, maxItems: 3 },
    { enum: ["red", 3, null] },
    { const: { a: [1] } },
    { type: ["string", "null"], maxLength: 5 },
    {
      $ref: "#/$defs/t",
      $defs: {
        t: {
          type: "object",
          properties: { n: { anyOf: [{ $ref: "#/$defs/t" }, { type: "null" }] } },
          required: ["n"],
          additionalProperties: false,
        },
      },
    },
    { type: "string", pattern: "^[a-z]{2}-\\d{3}$" },
    { type: "string", format: "date" },
    { type: "string", format: "uuid" },
    {
      allOf: [
        { type: "object", properties: { a: { const: 1 } }, required: ["a"] },
        { type: "object", properties: { b: { const: 2 } }, required: ["b"] },
      ],
    },
    { type: "array", prefixItems: [{ const: 1 }, { const: "x" }], items: false, minItems: 2 },
    { type: "integer", exclusiveMinimum: 3, maximum: 5 },
  ];
  for (const schema of schemas) {
    const answer = await client.ask(PATH, { ...say, json_schema: schema, temperature: 1, seed: 4, max_tokens: 300 });
    if (choicesOf(answer)[0]!.finish_reason === "stop") JSON.parse(messageOf(answer).content!);
  }
});
check("schemas that cannot be are refused at their place", async ({ client }) => {
  const format = (schema: unknown, more: Members = {}) => ({
    ...say,
    response_format: { type: "json_schema", json_schema: { name: "x", schema, ...more } },
  });
  for (const schema of [{ type: "nothing" }, { $ref: "#/$defs/none" }, 3, "x"]) {
    const error = await refuses(client, PATH, format(schema), {});
    assert.match(String(error["param"]), /^response_format\.json_schema\.schema/);
  }
  await refuses(client, PATH, format({ not: {} }, { strict: true }), {});
  await refuses(
    client,
    PATH,
    { ...say, response_format: { type: "json_schema", json_schema: { schema: {} } } },
    { param: "response_format.json_schema.name" },
  );
  await refuses(client, PATH, { ...say, response_format: { type: "xml" } }, { param: "response_format.type" });
  await refuses(client, PATH, { ...say, response_format: { type: "json_object" }, grammar: 'root ::= "a"' }, {});
});
check("a hostile grammar or schema is refused or answered, and the server lives", async ({ client }) => {
  const deep: Members = Array.from({ length: 60 }).reduce<Members>((inner) => ({ type: "array", items: inner }), {
    type: "null",
  });
  for (const form of [
    { grammar: 'root ::= root "a" | "b"' },
    { grammar: `root ::= "a"{1,1000000}` },
    { json_schema: deep },
    { json_schema: { type: "string", minLength: 1e9 } },
    { json_schema: { type: "string", pattern: "(a+)+(b{1,900}){1,900}" } },
  ]) {
    const { status } = await client.post(PATH, { ...say, ...form, max_tokens: 3 });
    assert.ok(status === 200 || status === 400, String(status));
  }
  assert.equal((await client.get("/health")).status, 200);
});

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
check("a prompt beyond the context is refused before any stream", async ({ client, model }) => {
  for (const stream of [false, true]) {
    const error = await overflow(client, model.contextLength, stream);
    assert.deepEqual([error["type"], error["n_ctx"]], ["exceed_context_size_error", model.contextLength]);
  }
});
function overflow(client: Client, contextLength: number, stream: boolean): Promise<Members> {
  const messages = [user("word ".repeat(Math.min(contextLength * 2, 180_000)))];
  return refuses(client, PATH, { messages, stream }, { code: "context_length_exceeded", param: "messages" });
}
check("reasoning_effort and template variables are taken", async ({ client }) => {
  for (const more of [
    { reasoning_effort: "low" },
    { reasoning_effort: "none" },
    { chat_template_kwargs: { enable_thinking: false } },
    { reasoning_format: "none" },
    { reasoning_format: "deepseek" },
  ]) {
    const reply = await client.post(PATH, { ...say, max_tokens: 2, ...more });
    assert.equal(reply.status, 200, reply.text);
  }
});
check("old functions are mapped or refused by name", async ({ client }) => {
  const body = { ...say, functions: [weather.function], max_tokens: 60 };
  const reply = await client.post(PATH, body);
  if (reply.status !== 200) await refuses(client, PATH, body, { code: "unsupported_parameter", param: "functions" });
});
