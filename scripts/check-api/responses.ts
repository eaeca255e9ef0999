import assert from "node:assert/strict";

import type { Client, Members } from "./client.ts";
import { toEvents } from "./client.ts";
import { errorOf, hasMembers, refuses, refusesEach, section, user } from "./checks.ts";

const { checks, check } = section("9 responses");
export const responses = checks;

const PATH = "/v1/responses";
const say = { input: "Say this is a test", temperature: 0 };
const tool = {
  type: "function",
  name: "get_weather",
  parameters: {
    type: "object",
    properties: { city: { type: "string", maxLength: 10 } },
    required: ["city"],
    additionalProperties: false,
  },
  strict: true,
};

interface Item {
  readonly type: string;
  readonly id: string;
  readonly status: string;
  readonly content: {
    readonly type: string;
    readonly text: string;
    readonly annotations: [];
    readonly logprobs?: unknown[];
  }[];
  readonly call_id: string;
  readonly name: string;
  readonly arguments: string;
}
const outputOf = (answer: Members) => answer["output"] as Item[];
const textOf = (answer: Members) =>
  outputOf(answer)
    .filter(({ type }) => type === "message")
    .flatMap(({ content }) => content.map(({ text }) => text))
    .join("");

async function until(client: Client, id: unknown, done: (response: Members) => boolean): Promise<Members> {
  for (let waited = 0; waited < 60_000; waited += 100) {
    const response = (await client.get(`${PATH}/${String(id)}`)).json as Members;
    if (done(response)) return response;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`response ${String(id)} does not come to an end`);
}
const isOver = ({ status }: Members) => !["queued", "in_progress"].includes(String(status));

check("a response has every member", async ({ client }) => {
  const answer = await client.ask(PATH, say);
  hasMembers(
    answer,
    "id object created_at completed_at status background error incomplete_details instructions max_output_tokens metadata model output parallel_tool_calls previous_response_id reasoning store temperature text tool_choice tools top_p truncation usage user",
  );
  assert.match(String(answer["id"]), /^resp_/);
  assert.deepEqual(
    [answer["object"], answer["status"], answer["error"], answer["incomplete_details"]],
    ["response", "completed", null, null],
  );
  const [item] = outputOf(answer);
  hasMembers(item, "type id role status content");
  assert.match(item!.id, /^msg_/);
  hasMembers(item!.content[0], "type text annotations logprobs");
  assert.equal(item!.content[0]!.type, "output_text");
  hasMembers(answer["usage"], "input_tokens input_tokens_details output_tokens output_tokens_details total_tokens");
});
check("the text is that of chat completions", async ({ client }) => {
  const chat = await client.ask("/v1/chat/completions", { messages: [user(say.input)], temperature: 0 });
  assert.equal(
    textOf(await client.ask(PATH, say)),
    (chat["choices"] as { message: { content: string } }[])[0]!.message.content,
  );
});
check(
  "input may be items: messages in all forms, calls and their outputs, earlier output as it is",
  async ({ client }) => {
    const first = await client.ask(PATH, say);
    for (const input of [
      [user("Hello")],
      [
        { type: "message", role: "developer", content: [{ type: "input_text", text: "Be brief." }] },
        user([{ type: "input_text", text: "Hi" }]),
      ],
      [
        user("Hi"),
        { role: "assistant", content: [{ type: "output_text", text: "Hello", annotations: [] }] },
        user("Again"),
      ],
      [user("Hi"), ...outputOf(first), user("Again")],
      [
        user("Weather?"),
        { type: "function_call", call_id: "c1", name: "get_weather", arguments: "{}" },
        { type: "function_call_output", call_id: "c1", output: "sunny" },
      ],
      [user("Hi"), { type: "reasoning", id: "rs_1", summary: [] }, { role: "assistant", content: "x" }, user("y")],
    ]) {
      const reply = await client.post(PATH, { input, max_output_tokens: 3 });
      assert.equal(reply.status, 200, JSON.stringify(input) + reply.text);
    }
  },
);
check(
  "requests are refused by name",
  refusesEach(PATH, say, [
    [{ input: undefined }, "missing_required_parameter", "input"],
    [{ input: 3 }, "invalid_type", "input"],
    [{ max_output_tokens: 0 }, "invalid_value", "max_output_tokens"],
    [{ temperature: 3 }, "invalid_value", "temperature"],
    [{ text: { format: { type: "xml" } } }, "invalid_value", "text.format.type"],
    [{ truncation: "some" }, "invalid_value", "truncation"],
    [{ store: "x" }, "invalid_type", "store"],
    [{ top_logprobs: 21 }, "invalid_value", "top_logprobs"],
    [{ tools: [{ type: "function" }] }, "missing_required_parameter", "tools[0].name"],
  ]),
);
check("background without store is refused", async ({ client }) => {
  await refuses(client, PATH, { ...say, background: true, store: false }, {});
});
check("an unknown previous response is 404 with its param", async ({ client }) => {
  const reply = await client.post(PATH, { ...say, previous_response_id: "resp_nothing" });
  assert.equal(reply.status, client.notFound);
  assert.deepEqual([errorOf(reply)["code"], errorOf(reply)["param"]], ["not_found", "previous_response_id"]);
});
check("instructions are a system message and count", async ({ client }) => {
  const count = async (more: Members) =>
    Number((await client.ask(`${PATH}/input_tokens`, { ...say, ...more }))["input_tokens"]);
  assert.ok((await count({ instructions: "Be very brief." })) > (await count({})));
  const answer = await client.ask(PATH, { ...say, instructions: "Be brief.", max_output_tokens: 2 });
  assert.equal(answer["instructions"], "Be brief.");
});
check("input_tokens counts what usage reports", async ({ client }) => {
  const counted = await client.ask(`${PATH}/input_tokens`, say);
  assert.equal(counted["object"], "response.input_tokens");
  assert.equal(counted["input_tokens"], ((await client.ask(PATH, say))["usage"] as Members)["input_tokens"]);
});
check("max_output_tokens ends incomplete, with the reason", async ({ client }) => {
  const answer = await client.ask(PATH, { ...say, max_output_tokens: 2, ignore_eos: true });
  assert.deepEqual([answer["status"], answer["incomplete_details"]], ["incomplete", { reason: "max_output_tokens" }]);
});
check("text.format json_schema is held", async ({ client }) => {
  const schema = {
    type: "object",
    properties: { a: { type: "integer" } },
    required: ["a"],
    additionalProperties: false,
  };
  const answer = await client.ask(PATH, {
    ...say,
    temperature: 1,
    seed: 2,
    text: { format: { type: "json_schema", name: "x", schema, strict: true } },
  });
  if (answer["status"] === "completed") assert.equal(typeof (JSON.parse(textOf(answer)) as { a: unknown }).a, "number");
});
check("tools are called where they must be", async ({ client }) => {
  for (const tool_choice of [
    "required",
    { type: "function", name: "get_weather" },
    { type: "allowed_tools", mode: "required", tools: [{ type: "function", name: "get_weather" }] },
  ]) {
    const answer = await client.ask(PATH, { input: "Weather in Rome?", tools: [tool], tool_choice, temperature: 0 });
    const call = outputOf(answer).find(({ type }) => type === "function_call")!;
    assert.ok(call.id.startsWith("fc_") && call.call_id.length > 3 && call.name === "get_weather");
    assert.equal(typeof (JSON.parse(call.arguments) as { city: unknown }).city, "string");
  }
});
check("hosted tools are dropped; a choice that then cannot be met is refused", async ({ client }) => {
  assert.equal(
    (await client.post(PATH, { ...say, tools: [{ type: "web_search" }], max_output_tokens: 2 })).status,
    200,
  );
  await refuses(client, PATH, { ...say, tools: [{ type: "web_search" }], tool_choice: "required" }, {});
});
check("include message.output_text.logprobs adds them", async ({ client }) => {
  const answer = await client.ask(PATH, { ...say, include: ["message.output_text.logprobs"], top_logprobs: 1 });
  assert.ok(outputOf(answer)[0]!.content[0]!.logprobs!.length > 0);
});
check("a stream's events are numbered without gaps and come in order", async ({ client }) => {
  const events = await client.stream(PATH, say);
  assert.ok(!events.some(({ data }) => data === "[DONE]"));
  for (const [index, { event, json }] of events.entries())
    assert.deepEqual([json["sequence_number"], json["type"]], [index, event]);
  const types = events.map(({ event }) => event).filter((type, index, all) => type !== all[index - 1]);
  const order = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
  ];
  assert.deepEqual(
    types.filter((type) => type !== "response.queued"),
    order,
  );
  const deltas = events.filter(({ event }) => event === "response.output_text.delta");
  hasMembers(deltas[0]!.json, "item_id output_index content_index delta logprobs");
  assert.equal(deltas.map(({ json }) => json["delta"]).join(""), textOf(events.at(-1)!.json["response"] as Members));
});
check("a streamed call has argument deltas that join", async ({ client }) => {
  const events = await client.stream(PATH, {
    input: "Weather in Rome?",
    tools: [tool],
    tool_choice: "required",
    temperature: 0,
  });
  const deltas = events
    .filter(({ event }) => event === "response.function_call_arguments.delta")
    .map(({ json }) => json["delta"])
    .join("");
  const done = events.find(({ event }) => event === "response.function_call_arguments.done")!.json;
  assert.ok(String(done["arguments"]).length > 0 && deltas.startsWith(String(done["arguments"])));
});
check("a stored response is found, lists its input, and is gone when deleted", async ({ client }) => {
  const { id } = await client.ask(PATH, say);
  const found = (await client.get(`${PATH}/${String(id)}`)).json as Members;
  assert.equal(found["id"], id);
  const items = (await client.get(`${PATH}/${String(id)}/input_items?limit=5&order=asc`)).json as Members & {
    data: Members[];
  };
  hasMembers(items, "object data first_id last_id has_more");
  assert.equal(items.data.length, 1);
  const deleted = (await client.send(`${PATH}/${String(id)}`, { method: "DELETE" })).json;
  assert.deepEqual(deleted, { id, object: "response", deleted: true });
  assert.equal(errorOf(await client.get(`${PATH}/${String(id)}`))["code"], "not_found");
});
check("store false keeps nothing", async ({ client }) => {
  const { id } = await client.ask(PATH, { ...say, store: false, max_output_tokens: 2 });
  assert.equal(errorOf(await client.get(`${PATH}/${String(id)}`))["code"], "not_found");
});
check("previous_response_id brings the conversation", async ({ client }) => {
  const first = await client.ask(PATH, say);
  const next = await client.ask(PATH, { input: "Again", previous_response_id: first["id"], max_output_tokens: 2 });
  assert.equal(next["previous_response_id"], first["id"]);
  const whole = await client.ask(`${PATH}/input_tokens`, {
    input: [user(say.input), { role: "assistant", content: textOf(first) }, user("Again")],
  });
  assert.equal((next["usage"] as Members)["input_tokens"], whole["input_tokens"]);
});
check("a background run is answered at once, polled to its end, and can be read as events", async ({ client }) => {
  const started = await client.ask(PATH, { ...say, background: true });
  assert.ok(["queued", "in_progress", "completed"].includes(String(started["status"])));
  assert.equal(started["background"], true);
  const over = await until(client, started["id"], isOver);
  assert.equal(over["status"], "completed");
  assert.equal(textOf(over), textOf(await client.ask(PATH, say)));
  const polled = (await client.get(`${PATH}/${String(started["id"])}/events?starting_after=-1`)).json as Members & {
    data: Members[];
  };
  hasMembers(polled, "object data last_sequence_number status done");
  assert.deepEqual([polled["done"], polled["status"]], [true, "completed"]);
  assert.deepEqual(
    polled.data.map(({ sequence_number: number }) => number),
    polled.data.map((_, index) => index),
  );
  const some = (await client.get(`${PATH}/${String(started["id"])}/events?starting_after=1&limit=2`)).json as {
    data: Members[];
    done: boolean;
  };
  assert.deepEqual(
    some.data.map(({ sequence_number: number }) => number),
    [2, 3],
  );
  assert.equal(some.done, false);
  const replay = toEvents((await client.get(`${PATH}/${String(started["id"])}?stream=true&starting_after=2`)).text);
  assert.equal(replay[0]!.json["sequence_number"], 3);
  assert.equal(replay.at(-1)!.event, "response.completed");
});
check("waiting for events returns as soon as there are some", async ({ client }) => {
  const { id } = await client.ask(PATH, { ...say, background: true });
  let after = -1;
  for (let rounds = 0; rounds < 200; rounds += 1) {
    const polled = (await client.get(`${PATH}/${String(id)}/events?starting_after=${after}&wait=5`)).json as {
      last_sequence_number: number;
      done: boolean;
    };
    after = polled.last_sequence_number;
    if (polled.done) return;
  }
  assert.fail("the events do not come to an end");
});
check("cancelling stops a background run, twice too; others cannot be cancelled", async ({ client }) => {
  const { id } = await client.ask(PATH, {
    input: "Tell me a story",
    background: true,
    ignore_eos: true,
    max_output_tokens: 1500,
  });
  for (const _ of [1, 2]) {
    const cancelled = (await client.post(`${PATH}/${String(id)}/cancel`, {})).json as Members;
    assert.equal(cancelled["status"], "cancelled");
  }
  const plain = await client.ask(PATH, { ...say, max_output_tokens: 2 });
  assert.equal((await client.post(`${PATH}/${String(plain["id"])}/cancel`, {})).status, 400);
});
check("a response that still runs cannot be followed", async ({ client }) => {
  const { id } = await client.ask("/v1/responses", { input: "Hi", background: true, ignore_eos: true });
  await refuses(client, "/v1/responses", { input: "a", previous_response_id: id }, { param: "previous_response_id" });
  await client.post(`/v1/responses/${String(id)}/cancel`, {});
});
check("an unknown response is not_found on every route", async ({ client }) => {
  for (const [method, rest] of [
    ["GET", ""],
    ["DELETE", ""],
    ["POST", "/cancel"],
    ["GET", "/input_items"],
    ["GET", "/events"],
  ] as const) {
    const reply = await client.send(`${PATH}/resp_nothing${rest}`, {
      method,
      ...(method === "POST" && { body: "{}" }),
    });
    assert.equal(errorOf(reply)["code"], "not_found", method + rest);
  }
});
check("overflow is refused, or cut with truncation auto", async ({ client, model }) => {
  const items = Array.from({ length: 60 }, () => user("word ".repeat(Math.ceil(model.contextLength / 40))));
  await refuses(client, PATH, { input: items }, { code: "context_length_exceeded", param: "input" });
  assert.equal((await client.post(PATH, { input: items, truncation: "auto", max_output_tokens: 2 })).status, 200);
});
