/** Background responses with OpenAI's client: created, left, polled, resumed in the middle, cancelled, deleted. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI from "openai";
import type { Response, ResponseStreamEvent } from "openai/resources/responses/responses";

import { WEATHER } from "../clients/client.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { UpProcess } from "../support/up-process.ts";

const scratch = scratchDirectory();
const common = { model: "aleph-tiny-chat", temperature: 0 };
const SAY = { ...common, input: "Say this is a test" };
const STORY = { ...common, input: "Tell me a story about a fox named Ada.", max_output_tokens: 300, ignore_eos: true };
const isOver = ({ status }: Response) => status !== "queued" && status !== "in_progress";

interface Page {
  readonly data: ResponseStreamEvent[];
  readonly last_sequence_number: number;
  readonly status: string;
  readonly done: boolean;
}

for (const [mode, options] of [
  ["as it is", []],
  ["as the network", ["--as-network"]],
] as const) {
  describe(`background responses of a node ${mode}`, () => {
    let up: UpProcess;
    let client: OpenAI;
    before(async () => {
      up = new UpProcess(join(scratch, "home"), ["demo", ...options]);
      const { baseUrl: baseURL } = (await up.ready()).models[0]!;
      client = new OpenAI({ baseURL, apiKey: "any", maxRetries: 0 });
    });
    after(() => up.interrupt());

    const start = (body: object) => client.responses.create({ ...SAY, ...body, background: true });
    const eventsOf = (id: string, query: Record<string, number>) =>
      client.get(`/responses/${id}/events`, { query }) as Promise<Page>;

    async function untilOver(id: string): Promise<Response> {
      for (;;) {
        const response = await client.responses.retrieve(id);
        if (isOver(response)) return response;
        await sleep(50);
      }
    }

    test("one that was created and left is polled to its end, and deleted", async () => {
      const created = await start({});
      assert.equal(created.background, true);
      const over = await untilOver(created.id);
      assert.equal(over.status, "completed");
      assert.equal(over.output_text, "This is a test.");
      const items = await client.responses.inputItems.list(created.id);
      assert.equal(items.data.length, 1);
      await client.responses.delete(created.id);
      await assert.rejects(client.responses.retrieve(created.id), { code: "not_found" });
    });

    test("one that runs shows its text so far, and goes on", async () => {
      const { id } = await start(STORY);
      let seen = "";
      while (seen === "") {
        const running = await client.responses.retrieve(id);
        assert.equal(running.status, "in_progress");
        seen = running.output_text;
      }
      const over = await untilOver(id);
      assert.equal(over.incomplete_details?.reason, "max_output_tokens");
      assert.ok(over.output_text.startsWith(seen) && over.output_text.length > seen.length);
    });

    test("events are read by polling while they arise, from any place, and join to the text", async () => {
      const { id } = await start(STORY);
      const events: ResponseStreamEvent[] = [];
      for (let polls = 0, done = false; !done; polls += 1) {
        const page = await eventsOf(id, { starting_after: events.length - 1, wait: 20, limit: 100 });
        events.push(...page.data);
        assert.equal(page.last_sequence_number, events.length - 1);
        done = page.done;
        assert.ok(polls < 400);
      }
      assert.deepEqual(
        events.map(({ sequence_number: number }) => number),
        events.map((_, index) => index),
      );
      const text = events.map((event) => (event.type === "response.output_text.delta" ? event.delta : "")).join("");
      assert.equal(text, (await client.responses.retrieve(id)).output_text);
      assert.deepEqual((await eventsOf(id, { starting_after: 5, limit: 3 })).data, events.slice(6, 9));
    });

    test("a stream that was left in the middle is resumed where it was left", async () => {
      const seen: ResponseStreamEvent[] = [];
      const stream = await client.responses.create({
        ...STORY,
        max_output_tokens: 300,
        background: true,
        stream: true,
      });
      for await (const event of stream) {
        seen.push(event);
        if (event.type === "response.output_text.delta" && seen.length > 20) break;
      }
      const [created] = seen;
      assert.ok(created?.type === "response.created");
      const { id } = created.response;
      const last = seen.at(-1)!.sequence_number;
      for await (const event of await client.responses.retrieve(id, { stream: true, starting_after: last }))
        seen.push(event);
      assert.deepEqual(seen, (await eventsOf(id, {})).data);
      assert.equal(seen.at(-1)?.type, "response.incomplete");
    });

    test("the client's own helper rebuilds a response from the middle of its stream", async () => {
      const { id } = await start({});
      const resumed = client.responses.stream({ response_id: id, starting_after: 4 });
      const numbers: number[] = [];
      resumed.on("event", ({ sequence_number: number }) => numbers.push(number));
      assert.equal((await resumed.finalResponse()).output_text, "This is a test.");
      assert.equal(numbers[0], 5);
    });

    test("a cancelled one stops, stays readable, and stays cancelled", async () => {
      const { id } = await start({ ...STORY, max_output_tokens: 1500 });
      const cancelled = await client.responses.cancel(id);
      assert.equal(cancelled.status, "cancelled");
      assert.equal((await client.responses.cancel(id)).status, "cancelled");
      const { done, status, last_sequence_number: last } = await eventsOf(id, { wait: 20 });
      assert.deepEqual([done, status], [true, "cancelled"]);
      await sleep(200);
      assert.equal((await eventsOf(id, {})).last_sequence_number, last);
    });

    test("a tool's call made in the background is answered by the next one", async () => {
      const tools = [{ type: "function" as const, strict: false, ...WEATHER }];
      const { id } = await start({ input: "What is the weather in Paris?", tools });
      const [call] = (await untilOver(id)).output;
      assert.ok(call?.type === "function_call");
      assert.deepEqual(JSON.parse(call.arguments), { city: "Paris" });
      const output = { type: "function_call_output" as const, call_id: call.call_id, output: "sunny, 21°C" };
      const next = await start({ input: [output], tools, previous_response_id: id });
      assert.equal((await untilOver(next.id)).output_text, "The weather in Paris: sunny, 21°C.");
    });

    test("one that is not in the background is neither cancelled nor streamed again", async () => {
      const { id } = await client.responses.create(SAY);
      await assert.rejects(client.responses.cancel(id), { status: 400 });
      await assert.rejects(client.responses.retrieve(id, { stream: true }), { status: 400, param: "stream" });
    });
  });
}
