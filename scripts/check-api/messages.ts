import assert from "node:assert/strict";

import type { Client, Members } from "./client.ts";
import { hasMembers, section, user } from "./checks.ts";

const { checks, check } = section("10 Anthropic's messages");
export const messages = checks;

const PATH = "/v1/messages";
const say = { max_tokens: 100, messages: [user("Say this is a test")], temperature: 0 };
const tool = {
  name: "get_weather",
  description: "The weather.",
  input_schema: {
    type: "object",
    properties: { city: { type: "string", maxLength: 10 } },
    required: ["city"],
    additionalProperties: false,
  },
};

interface Block {
  readonly type: string;
  readonly text: string;
  readonly id: string;
  readonly name: string;
  readonly input: Members;
}
const blocksOf = (answer: Members) => answer["content"] as Block[];

async function refusal(client: Client, body: Members, type = "invalid_request_error", status = 400): Promise<string> {
  const reply = await client.post(PATH, body);
  const shown = `${JSON.stringify(body).slice(0, 200)} → ${reply.status} ${reply.text.slice(0, 200)}`;
  assert.ok(reply.status === (status === 404 ? client.notFound : status), shown);
  const {
    type: kind,
    error,
    request_id: id,
  } = reply.json as { type: string; error: { type: string; message: string }; request_id: string };
  assert.deepEqual([kind, error.type], ["error", type], shown);
  assert.ok(id.length > 0 && error.message.length > 10);
  return error.message;
}

check("a message has every member", async ({ client, model }) => {
  const answer = await client.ask(PATH, { ...say, model: model.id });
  hasMembers(answer, "id type role model content stop_reason stop_sequence usage");
  assert.match(String(answer["id"]), /^msg_/);
  assert.deepEqual(
    [answer["type"], answer["role"], answer["stop_reason"], answer["stop_sequence"]],
    ["message", "assistant", "end_turn", null],
  );
  assert.equal(blocksOf(answer)[0]!.type, "text");
  hasMembers(answer["usage"], "input_tokens cache_creation_input_tokens cache_read_input_tokens output_tokens");
  assert.ok(!("timings" in answer));
});
check("limits and stop sequences are told apart", async ({ client }) => {
  assert.equal((await client.ask(PATH, { ...say, max_tokens: 1, ignore_eos: true }))["stop_reason"], "max_tokens");
  const whole = blocksOf(await client.ask(PATH, say))[0]!.text;
  const word = whole.slice(5, 8);
  const stopped = await client.ask(PATH, { ...say, stop_sequences: [word] });
  assert.deepEqual([stopped["stop_reason"], stopped["stop_sequence"]], ["stop_sequence", word]);
});
check("bodies are refused in Anthropic's shape, naming the member", async ({ client }) => {
  for (const [body, name] of [
    [{ messages: say.messages }, "max_tokens"],
    [{ ...say, max_tokens: 0 }, "max_tokens"],
    [{ max_tokens: 5 }, "messages"],
    [{ ...say, messages: [] }, "messages"],
    [{ ...say, temperature: 1.5 }, "temperature"],
    [{ ...say, messages: [{ role: "system", content: "x" }] }, "role"],
    [{ ...say, stop_sequences: "x" }, "stop_sequences"],
    [{ ...say, tools: [{}] }, "tools"],
    [{ ...say, system: 3 }, "system"],
    [{ ...say, top_k: "x" }, "top_k"],
    [
      {
        ...say,
        messages: [user([{ type: "image", source: { type: "base64", media_type: "image/png", data: "AA==" } }])],
      },
      "messages",
    ],
  ] as const)
    assert.match(await refusal(client, body), new RegExp(name), name);
});
check("an unknown model is not_found_error", async ({ client }) => {
  await refusal(client, { ...say, model: "claude-9" }, "not_found_error", 404);
});
check("request-id is on every answer", async ({ client }) => {
  assert.ok((await client.post(PATH, say)).headers.get("request-id"));
  assert.ok((await client.post(PATH, {})).headers.get("request-id"));
});
check("system, blocks, cache_control, thinking and results of tools are taken", async ({ client }) => {
  const cache_control = { type: "ephemeral" };
  for (const more of [
    { system: "Be brief." },
    { system: [{ type: "text", text: "Be brief.", cache_control }] },
    { messages: [user([{ type: "text", text: "Hi", cache_control }])] },
    {
      messages: [
        user("Weather?"),
        {
          role: "assistant",
          content: [
            { type: "thinking", thinking: "hm", signature: "x" },
            { type: "tool_use", id: "toolu_1", name: "get_weather", input: { city: "Rome" } },
          ],
        },
        user([{ type: "tool_result", tool_use_id: "toolu_1", content: "sunny" }]),
      ],
      tools: [tool],
    },
    { thinking: { type: "disabled" } },
    { metadata: { user_id: "u" } },
    { top_k: 5, top_p: 0.9 },
  ]) {
    const reply = await client.post(PATH, { ...say, max_tokens: 3, ...more });
    assert.equal(reply.status, 200, JSON.stringify(more) + reply.text);
  }
});
check("any and a named tool always call, with input that fits", async ({ client }) => {
  for (const tool_choice of [
    { type: "any" },
    { type: "tool", name: "get_weather" },
    { type: "any", disable_parallel_tool_use: true },
  ]) {
    const answer = await client.ask(PATH, {
      max_tokens: 200,
      messages: [user("Weather in Rome?")],
      tools: [tool],
      tool_choice,
      temperature: 0,
    });
    const call = blocksOf(answer).find(({ type }) => type === "tool_use")!;
    assert.ok(call.id.startsWith("toolu_") && call.name === "get_weather" && typeof call.input["city"] === "string");
    assert.equal(answer["stop_reason"], "tool_use");
  }
});
check("a stream has Anthropic's events in order and says the same", async ({ client }) => {
  const events = await client.stream(PATH, say);
  assert.ok(events.every(({ event, json }) => json["type"] === event));
  const types = events
    .map(({ event }) => event)
    .filter((type, index, all) => type !== "ping" && type !== all[index - 1]);
  assert.deepEqual(types, [
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
  ]);
  const text = events.map(({ json }) => (json["delta"] as { text?: string } | undefined)?.text ?? "").join("");
  assert.equal(text, blocksOf(await client.ask(PATH, say))[0]!.text);
  hasMembers(events[0]!.json["message"], "id type role model content stop_reason stop_sequence usage");
  const last = events.find(({ event }) => event === "message_delta")!.json;
  assert.equal((last["delta"] as Members)["stop_reason"], "end_turn");
  assert.ok(Number((last["usage"] as Members)["output_tokens"]) > 0);
});
check("a streamed call has input_json_delta pieces that join", async ({ client }) => {
  const events = await client.stream(PATH, {
    max_tokens: 200,
    messages: [user("Weather in Rome?")],
    tools: [tool],
    tool_choice: { type: "tool", name: "get_weather" },
    temperature: 0,
  });
  const start = events.find(({ event }) => event === "content_block_start")!.json["content_block"] as Block;
  assert.deepEqual([start.type, start.input], ["tool_use", {}]);
  const pieces = events.flatMap(
    ({ json }) => (json["delta"] as { partial_json?: string } | undefined)?.partial_json ?? [],
  );
  assert.equal(typeof (JSON.parse(pieces.join("")) as { city: unknown }).city, "string");
});
check("count_tokens counts what usage reports, tools and system included", async ({ client }) => {
  const { max_tokens: _, ...body } = { ...say, system: "Be brief.", tools: [tool] };
  const { input_tokens: counted } = await client.ask(`${PATH}/count_tokens`, body);
  const usage = (await client.ask(PATH, { ...body, max_tokens: 1 }))["usage"] as Record<string, number>;
  assert.equal(counted, usage["input_tokens"]! + usage["cache_read_input_tokens"]!);
  const { input_tokens: bare } = await client.ask(`${PATH}/count_tokens`, { messages: say.messages });
  assert.ok(counted > (bare as number) + 10);
});
check("overflow is invalid_request_error", async ({ client, model }) => {
  await refusal(client, { ...say, messages: [user("word ".repeat(Math.min(model.contextLength * 2, 180_000)))] });
});
