/** The Responses API over the real engine and the demo model, and through OpenAI's client. */
import assert from "node:assert/strict";
import { after, before, describe, test, type TestContext } from "node:test";
import OpenAI from "openai";
import supertest from "supertest";

import type { Engine } from "../../src/domain/engine.ts";
import { startEngine } from "../../src/engine/load.ts";
import { whenIdle } from "../support/api-fuzz.ts";
import { demoModelPath } from "../support/demo-model.ts";
import { FakeEngine, saying } from "../support/fake-engine.ts";
import { appOf, listen } from "../support/server.ts";
import { skipWithoutStreams } from "../support/through-network.ts";

const SAY = "Say this is a test";
const STORY = { input: "Tell me a story about a fox named Ada.", max_output_tokens: 1500, ignore_eos: true };

interface Event {
  readonly type: string;
  readonly sequence_number: number;
  readonly delta?: string;
  readonly text?: string;
  readonly response?: ResponseBody;
}
interface ResponseBody {
  readonly id: string;
  readonly status: string;
  readonly output: { type: string; id: string; status: string; content: { text: string; logprobs: unknown[] }[] }[];
  readonly usage: { input_tokens: number; output_tokens: number; total_tokens: number } | null;
  readonly [member: string]: unknown;
}
interface Page {
  readonly data: Event[];
  readonly last_sequence_number: number;
  readonly status: string;
  readonly done: boolean;
}

function textOf(response: ResponseBody): string {
  return response.output
    .flatMap(({ type, content }) => (type === "message" ? content.map(({ text }) => text) : []))
    .join("");
}

describe("responses", () => {
  let engine: Engine;
  let app: ReturnType<typeof appOf>;
  before(async () => {
    const options = { modelPath: demoModelPath, modelId: "demo", aliases: [], contextLength: undefined };
    engine = startEngine({ ...options, slots: 2, queueLength: 8, threads: 1 });
    await engine.ready;
    app = appOf(engine);
  });
  after(() => engine.close());

  const post = (body: object, path = "/v1/responses") => supertest(app).post(path).send(body);
  const get = (path: string) => supertest(app).get(`/v1/responses/${path}`);
  const create = async (body: object) => (await post({ temperature: 0, ...body }).expect(200)).body as ResponseBody;
  const stream = async (body: object) => {
    const { text } = await post({ temperature: 0, stream: true, ...body }).expect(200);
    return eventsOf(text);
  };
  const eventsOf = (text: string) =>
    text
      .split("\n\n")
      .filter((block) => block.startsWith("event: "))
      .map((block) => {
        const [name, data] = block.split("\n");
        const event = JSON.parse(data!.slice("data: ".length)) as Event;
        assert.equal(name, `event: ${event.type}`);
        return event;
      });
  const poll = async (id: string, query: string) => (await get(`${id}/events?${query}`).expect(200)).body as Page;
  const untilDone = async (id: string): Promise<Event[]> => {
    const events: Event[] = [];
    for (;;) {
      const page = await poll(id, `starting_after=${events.length - 1}&wait=5`);
      events.push(...page.data);
      if (page.done) return events;
    }
  };

  test("an answer is a response object with every member that OpenAI's has", async () => {
    const response = await create({ input: SAY });
    assert.match(response.id, /^resp_[0-9a-f]{32}$/);
    assert.equal(textOf(response), "This is a test.");
    assert.equal(response.status, "completed");
    const {
      id: _id,
      created_at: created,
      completed_at: completed,
      output,
      usage,
      tools,
      temperature,
      ...rest
    } = response;
    assert.ok((completed as number) >= (created as number));
    assert.equal(output[0]!.status, "completed");
    assert.equal(usage!.total_tokens, usage!.input_tokens + usage!.output_tokens);
    assert.deepEqual([tools, temperature], [[], 0]);
    assert.deepEqual(rest, {
      object: "response",
      status: "completed",
      error: null,
      incomplete_details: null,
      model: "demo",
      background: false,
      instructions: null,
      max_output_tokens: null,
      max_tool_calls: null,
      metadata: {},
      parallel_tool_calls: true,
      previous_response_id: null,
      prompt_cache_key: null,
      reasoning: { effort: null, summary: null },
      safety_identifier: null,
      service_tier: "default",
      store: true,
      text: { format: { type: "text" }, verbosity: "medium" },
      tool_choice: "auto",
      top_logprobs: 0,
      top_p: 0.95,
      truncation: "disabled",
      user: null,
    });
  });

  test("an answer cut by its limit is incomplete and says why", async () => {
    const response = await create({ input: STORY.input, max_output_tokens: 3 });
    assert.equal(response.status, "incomplete");
    assert.deepEqual(response["incomplete_details"], { reason: "max_output_tokens" });
    assert.equal(response.usage!.output_tokens, 3);
    assert.equal(response.output[0]!.status, "incomplete");
  });

  test("items of an earlier output are given back as they are, and instructions are a system message in front", async () => {
    const first = await create({ input: "My name is Ada." });
    const items = [{ role: "user", content: "My name is Ada." }, ...first.output];
    const second = await create({
      input: [...items, { type: "message", role: "user", content: [{ type: "input_text", text: "What is my name?" }] }],
    });
    assert.match(textOf(second), /Ada/);
    const pirate = await create({ input: "Hello", instructions: "Talk like a pirate." });
    assert.notEqual(textOf(pirate), textOf(await create({ input: "Hello" })));
  });

  test("events come in OpenAI's order, numbered without gaps, and their deltas join to the text", async () => {
    const events = await stream({ input: SAY });
    assert.deepEqual(
      events.map((event) => event.sequence_number),
      events.map((_, index) => index),
    );
    const types = events.map(({ type }) => type);
    assert.deepEqual(
      types.filter((type) => type !== "response.output_text.delta"),
      [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
      ],
    );
    const joined = events.map(({ delta }) => delta ?? "").join("");
    assert.equal(joined, events.find(({ type }) => type === "response.output_text.done")!.text);
    const last = events.at(-1)!.response!;
    assert.equal(textOf(last), joined);
    assert.equal(events[0]!.response!.status, "in_progress");
    const { text } = await post({ input: SAY, stream: true }).expect(200);
    assert.ok(!text.includes("[DONE]"));
  });

  test("a stream that is cut ends with response.incomplete", async () => {
    const events = await stream({ input: STORY.input, max_output_tokens: 2 });
    assert.equal(events.at(-1)!.type, "response.incomplete");
    assert.equal(events.at(-1)!.response!.status, "incomplete");
  });

  test("a fault in the middle of a stream is response.failed and an error event", async () => {
    const failing = appOf(new FakeEngine({ script: [...saying("Hel").slice(0, 2), new Error("secret")] }));
    const { text } = await supertest(failing).post("/v1/responses").send({ input: "Hi", stream: true }).expect(200);
    const events = eventsOf(text);
    assert.deepEqual(
      events.slice(-2).map(({ type }) => type),
      ["response.failed", "error"],
    );
    assert.equal(events.at(-2)!.response!.status, "failed");
    assert.doesNotMatch(text, /secret/);
    await supertest(failing).post("/v1/responses").send({ input: "Hi" }).expect(500);
  });

  test("a stored response is read, listed and deleted; one that is not stored is not found", async () => {
    const { id, ...rest } = await create({
      input: [
        { role: "user", content: "Hello" },
        { role: "user", content: SAY },
      ],
    });
    assert.deepEqual((await get(id).expect(200)).body, { id, ...rest });
    const { body: list } = await get(`${id}/input_items?order=asc&limit=1`).expect(200);
    assert.equal(list.has_more, true);
    assert.equal(list.data[0].content[0].text, "Hello");
    const { body: more } = await get(`${id}/input_items?order=asc&after=${list.last_id}`).expect(200);
    assert.deepEqual(more.data[0].content, [{ type: "input_text", text: SAY }]);
    assert.equal(more.has_more, false);
    const { body: gone } = await supertest(app).delete(`/v1/responses/${id}`).expect(200);
    assert.deepEqual(gone, { id, object: "response", deleted: true });
    const { body } = await get(id).expect(404);
    assert.equal(body.error.code, "not_found");
    const { id: unstored } = await create({ input: SAY, store: false });
    await get(unstored).expect(404);
  });

  test("a response follows an earlier one without its instructions", async () => {
    const first = await create({ input: "My name is Ada.", instructions: "Talk like a pirate." });
    const second = await create({ input: "What is my name?", previous_response_id: first.id });
    assert.match(textOf(second), /Ada/);
    const third = await create({ input: "And what is it again?", previous_response_id: second.id });
    assert.equal(third["instructions"], null);
    assert.ok(third.usage!.input_tokens > second.usage!.input_tokens);
    const { body } = await post({ input: "Hi", previous_response_id: "resp_0" }).expect(404);
    assert.deepEqual([body.error.code, body.error.param], ["not_found", "previous_response_id"]);
  });

  test("a background response answers at once, shows its text so far, and ends without its client", async () => {
    const created = await create({ ...STORY, max_output_tokens: 400, background: true });
    assert.ok(["queued", "in_progress"].includes(created.status));
    const page = await poll(created.id, "wait=20");
    assert.ok(page.data.length > 0);
    const events = await untilDone(created.id);
    assert.equal(events.at(-1)!.type, "response.incomplete");
    const { body } = await get(created.id).expect(200);
    assert.equal(textOf(body as ResponseBody), events.map(({ delta }) => delta ?? "").join(""));
  });

  test("events are read from any place, by polling and as a stream, and are the same", async () => {
    const { id } = await create({ input: SAY, background: true });
    const events = await untilDone(id);
    const page = await poll(id, "starting_after=3&limit=2");
    assert.deepEqual(page.data, events.slice(4, 6));
    assert.deepEqual([page.last_sequence_number, page.done, page.status], [5, false, "completed"]);
    const { text } = await get(`${id}?stream=true&starting_after=4`).expect(200);
    assert.deepEqual(eventsOf(text), events.slice(5));
    const end = await poll(id, `starting_after=${events.length - 1}`);
    assert.deepEqual([end.data, end.done], [[], true]);
  });

  test("a cancelled background response stops at once; cancelling again changes nothing", async () => {
    const { id } = await create({ ...STORY, background: true });
    const { body: cancelled } = await post({}, `/v1/responses/${id}/cancel`).expect(200);
    assert.equal(cancelled.status, "cancelled");
    assert.equal((await post({}, `/v1/responses/${id}/cancel`).expect(200)).body.status, "cancelled");
    assert.equal((await poll(id, "starting_after=100000")).done, true);
    await whenIdle(engine);
    const { id: plain } = await create({ input: SAY });
    const { body } = await post({}, `/v1/responses/${plain}/cancel`).expect(400);
    assert.equal(body.error.code, "invalid_value");
  });

  test("deleting a background response that runs ends its computation", async () => {
    const { id } = await create({ ...STORY, background: true });
    await supertest(app).delete(`/v1/responses/${id}`).expect(200);
    await whenIdle(engine);
    await get(id).expect(404);
  });

  test(
    "a client that leaves ends its response, and not one in the background",
    { skip: skipWithoutStreams },
    async (t) => {
      const { url } = await listen(t, app);
      const start = async (body: object) => {
        const controller = new AbortController();
        const response = await fetch(`${url}/v1/responses`, {
          method: "POST",
          body: JSON.stringify({ ...STORY, stream: true, ...body }),
          signal: controller.signal,
        });
        const { value } = await response.body!.getReader().read();
        controller.abort();
        return eventsOf(`${new TextDecoder().decode(value).split("\n\n")[0]}\n\n`)[0]!.response!.id;
      };
      const left = await start({});
      await whenIdle(engine);
      assert.equal((await get(left).expect(200)).body.status, "failed");
      const kept = await start({ background: true, max_output_tokens: 100 });
      assert.equal((await untilDone(kept)).at(-1)!.response!.usage!.output_tokens, 100);
    },
  );

  test("a long input is refused, or loses its oldest items where it may", async () => {
    const items = Array.from({ length: 40 }, (_, index) => ({
      role: index % 2 === 0 ? "user" : "assistant",
      content: `${index} ${"word ".repeat(90)}`,
    }));
    const input = [...items, { role: "user", content: SAY }];
    const { body } = await post({ input }).expect(400);
    assert.deepEqual([body.error.code, body.error.param], ["context_length_exceeded", "input"]);
    const response = await create({ input, truncation: "auto" });
    assert.ok(response.usage!.input_tokens > 100);
  });

  test("input tokens are counted as the usage counts them", async () => {
    const body = { input: SAY, instructions: "Be brief." };
    const { body: counted } = await post(body, "/v1/responses/input_tokens").expect(200);
    assert.deepEqual(counted, {
      object: "response.input_tokens",
      input_tokens: (await create(body)).usage!.input_tokens,
    });
  });

  test("log probabilities come where they are asked for", async () => {
    const response = await create({ input: SAY, include: ["message.output_text.logprobs"], top_logprobs: 2 });
    const { logprobs } = response.output[0]!.content[0]!;
    assert.equal(logprobs.length, response.usage!.output_tokens);
    assert.deepEqual((await create({ input: SAY })).output[0]!.content[0]!.logprobs, []);
  });

  test("an answer in a schema's form fits it", async () => {
    const schema = { type: "object", properties: { city: { enum: ["Paris", "Rome"] } }, required: ["city"] };
    const format = { type: "json_schema", name: "city", schema, strict: true };
    const response = await create({ input: "Capital of France?", text: { format } });
    assert.deepEqual(Object.keys(JSON.parse(textOf(response)) as object), ["city"]);
  });

  test("tools that OpenAI hosts are dropped and reported", async () => {
    const { headers } = await post({ input: SAY, tools: [{ type: "web_search" }] }).expect(200);
    assert.equal(headers["x-ignored-params"], "tools");
  });

  const refusals: readonly [string, object, string, string][] = [
    ["no input", {}, "input", "missing_required_parameter"],
    ["an input of the wrong type", { input: 7 }, "input", "invalid_type"],
    ["an empty list", { input: [] }, "input", "invalid_value"],
    ["an unknown item", { input: [{ type: "noise" }] }, "input[0].type", "invalid_value"],
    ["an unknown role", { input: [{ role: "king", content: "x" }] }, "input[0].role", "invalid_value"],
    [
      "an image",
      { input: [{ role: "user", content: [{ type: "input_image" }] }] },
      "input[0].content[0].type",
      "unsupported_value",
    ],
    [
      "a background response that is not stored",
      { input: "x", background: true, store: false },
      "store",
      "invalid_value",
    ],
    ["a temperature of 3", { input: "x", temperature: 3 }, "temperature", "invalid_value"],
    ["no tokens", { input: "x", max_output_tokens: 0 }, "max_output_tokens", "invalid_value"],
    ["an unknown format", { input: "x", text: { format: { type: "xml" } } }, "text.format.type", "invalid_value"],
    [
      "a format without its schema",
      { input: "x", text: { format: { type: "json_schema", name: "x" } } },
      "text.format.schema",
      "missing_required_parameter",
    ],
    ["a choice without tools", { input: "x", tool_choice: "required" }, "tool_choice", "invalid_value"],
    [
      "a hosted tool as choice",
      { input: "x", tool_choice: { type: "web_search" } },
      "tool_choice.type",
      "unsupported_value",
    ],
    ["a conversation", { input: "x", conversation: "c" }, "conversation", "unsupported_parameter"],
    ["stream options without a stream", { input: "x", stream_options: {} }, "stream_options", "invalid_value"],
    ["a bad tool", { input: "x", tools: [{ type: "function", name: "a b" }] }, "tools[0].name", "invalid_value"],
  ];
  for (const [what, body, param, code] of refusals) {
    test(`${what} is refused as ${code} of ${param}`, async () => {
      const { body: answer } = await post(body).expect(400);
      assert.deepEqual([answer.error.param, answer.error.code], [param, code]);
      assert.doesNotMatch(answer.error.message, /Invalid input|undefined/, "a sentence of ours");
    });
  }

  test("bad queries are refused by name", async () => {
    const { id } = await create({ input: SAY, background: true });
    for (const query of ["starting_after=x", "limit=0", "wait=26", "wait=-1"]) {
      const { body } = await get(`${id}/events?${query}`).expect(400);
      assert.equal(body.error.param, query.split("=")[0]);
    }
    await get(`${id}/input_items?order=up`).expect(400);
    await untilDone(id);
  });

  const clientOf = async (t: TestContext) => {
    const { url } = await listen(t, app);
    return new OpenAI({ baseURL: `${url}/v1/`, apiKey: "any", maxRetries: 0 });
  };

  test("OpenAI's client creates, streams, retrieves, lists, cancels and deletes", async (t) => {
    const client = await clientOf(t);
    const response = await client.responses.create({ model: "demo", input: SAY, temperature: 0 });
    assert.equal(response.output_text, "This is a test.");
    const streamed = client.responses.stream({ model: "demo", input: SAY, temperature: 0 });
    let text = "";
    streamed.on("response.output_text.delta", ({ delta }) => {
      text += delta;
    });
    assert.equal((await streamed.finalResponse()).output_text, text);
    assert.equal((await client.responses.retrieve(response.id)).output_text, "This is a test.");
    const items = await client.responses.inputItems.list(response.id);
    assert.equal(items.data.length, 1);
    const background = await client.responses.create({ model: "demo", ...STORY, background: true });
    assert.equal((await client.responses.cancel(background.id)).status, "cancelled");
    await client.responses.delete(response.id);
    await assert.rejects(client.responses.retrieve(response.id), { status: 404 });
  });

  test("OpenAI's client resumes a background stream in the middle", async (t) => {
    const client = await clientOf(t);
    const first = await client.responses.create({
      model: "demo",
      input: SAY,
      temperature: 0,
      background: true,
      stream: true,
    });
    let id = "";
    let last = -1;
    for await (const event of first) {
      if (event.type === "response.created") id = event.response.id;
      last = event.sequence_number;
      if (event.type === "response.output_text.delta") break;
    }
    const rest = await client.responses.retrieve(id, { stream: true, starting_after: last });
    let final = "";
    for await (const event of rest) {
      assert.equal(event.sequence_number, ++last);
      if (event.type === "response.completed") final = event.response.output_text ?? textOf(event.response as never);
    }
    assert.equal(final, "This is a test.");
  });
});
