/** What Anthropic's clients are sent, from steps that are written out here. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { toMessage } from "../../../src/anthropic/answer.ts";
import { createMessageEncoder } from "../../../src/anthropic/events.ts";
import type { ChatStep } from "../../../src/domain/chat.ts";

const head = { id: "msg_1", model: "tiny" };
const progress = { total: 9, cached: 4, processed: 4, timeMs: 0 };
const timings = { queuedMs: 0, cachedTokens: 4, promptTokens: 5, promptMs: 1, predictedTokens: 7, predictedMs: 2 };
const done: ChatStep = {
  type: "done",
  usage: { promptTokens: 9, cachedTokens: 4, completionTokens: 7, thinkingTokens: 2 },
  timings,
};

const steps: readonly ChatStep[] = [
  { type: "started" },
  { type: "progress", progress },
  { type: "progress", progress: { ...progress, processed: 9 } },
  { type: "thinking", choice: 0, text: "Let me " },
  { type: "thinking", choice: 0, text: "look." },
  { type: "text", choice: 0, text: "I look" },
  { type: "text", choice: 0, text: " it up." },
  { type: "call", choice: 0, call: 0, id: "call_a1", name: "weather" },
  { type: "arguments", choice: 0, call: 0, text: '{"city":' },
  { type: "arguments", choice: 0, call: 0, text: '"Rome"}' },
  { type: "call", choice: 0, call: 1, id: "call_b2", name: "time" },
  { type: "arguments", choice: 0, call: 1, text: "{}" },
  { type: "finish", choice: 0, reason: "tool_calls" },
  done,
];

async function* play(list: readonly ChatStep[]): AsyncGenerator<ChatStep> {
  yield* list;
}

interface Event {
  readonly type: string;
  readonly index?: number;
  readonly delta?: Readonly<Record<string, unknown>>;
  readonly content_block?: Readonly<Record<string, unknown>>;
  readonly message?: { readonly usage: unknown; readonly content: unknown[] };
  readonly usage?: unknown;
}

function encode(list: readonly ChatStep[]): Event[] {
  const encoder = createMessageEncoder(head, 9);
  const events = list
    .map(encoder)
    .join("")
    .split("\n\n")
    .filter((text) => text !== "");
  return events.map((text) => {
    const [name, data] = text.split("\n") as [string, string];
    const event = JSON.parse(data.slice("data: ".length)) as Event;
    assert.equal(name, `event: ${event.type}`);
    return event;
  });
}

test("a message holds thinking first, then text, then each use of a tool with its input as an object", async () => {
  const { body } = await toMessage(head, play(steps));
  assert.deepEqual(body, {
    id: "msg_1",
    type: "message",
    role: "assistant",
    model: "tiny",
    content: [
      { type: "thinking", thinking: "Let me look.", signature: "" },
      { type: "text", text: "I look it up." },
      { type: "tool_use", id: "toolu_a1", name: "weather", input: { city: "Rome" } },
      { type: "tool_use", id: "toolu_b2", name: "time", input: {} },
    ],
    stop_reason: "tool_use",
    stop_sequence: null,
    usage: { input_tokens: 5, cache_creation_input_tokens: 0, cache_read_input_tokens: 4, output_tokens: 7 },
  });
});

test("a stream opens and closes its blocks in order, one at a time, and its deltas join to the whole", async () => {
  const events = encode(steps);
  assert.deepEqual(
    events.map(({ type, index }) => (index === undefined ? type : `${type} ${index}`)),
    [
      "message_start",
      "ping",
      "content_block_start 0",
      "content_block_delta 0",
      "content_block_delta 0",
      "content_block_delta 0",
      "content_block_stop 0",
      "content_block_start 1",
      "content_block_delta 1",
      "content_block_delta 1",
      "content_block_stop 1",
      "content_block_start 2",
      "content_block_delta 2",
      "content_block_delta 2",
      "content_block_stop 2",
      "content_block_start 3",
      "content_block_delta 3",
      "content_block_stop 3",
      "message_delta",
      "message_stop",
    ],
  );
  assert.deepEqual(events[0]?.message?.content, []);
  const usage = { input_tokens: 5, cache_creation_input_tokens: 0, cache_read_input_tokens: 4 };
  assert.deepEqual(events[0]?.message?.usage, { ...usage, output_tokens: 0 });
  assert.deepEqual(events.at(-2)?.usage, { ...usage, output_tokens: 7 });
  assert.deepEqual(events.at(-2)?.delta, { stop_reason: "tool_use", stop_sequence: null });
  const joined = (index: number, member: string) =>
    events
      .filter((event) => event.index === index)
      .map(({ delta }) => (delta?.[member] as string | undefined) ?? "")
      .join("");
  assert.equal(joined(0, "thinking"), "Let me look.");
  assert.equal(joined(1, "text"), "I look it up.");
  assert.equal(joined(2, "partial_json"), '{"city":"Rome"}');
  assert.deepEqual(events[5]?.delta, { type: "signature_delta", signature: "" });
  assert.deepEqual(events[11]?.content_block, { type: "tool_use", id: "toolu_a1", name: "weather", input: {} });
});

test("each end has its reason, and a stop sequence is named", async () => {
  const reasonOf = async (finish: Omit<Extract<ChatStep, { type: "finish" }>, "type" | "choice">) => {
    const list: ChatStep[] = [{ type: "started" }, { type: "finish", choice: 0, ...finish }, done];
    const { body } = await toMessage(head, play(list));
    const { stop_reason: reason, stop_sequence: sequence } = body as {
      stop_reason: string;
      stop_sequence: string | null;
    };
    assert.deepEqual(encode(list).at(-2)?.delta, { stop_reason: reason, stop_sequence: sequence });
    return [reason, sequence];
  };
  assert.deepEqual(await reasonOf({ reason: "stop", ending: { tokens: 7, stop: undefined } }), ["end_turn", null]);
  assert.deepEqual(await reasonOf({ reason: "stop", ending: { tokens: 7, stop: "END" } }), ["stop_sequence", "END"]);
  assert.deepEqual(await reasonOf({ reason: "length" }), ["max_tokens", null]);
  assert.deepEqual(await reasonOf({ reason: "tool_calls" }), ["tool_use", null]);
});

test("the input of a use that a limit has cut is empty: what is there of it is no JSON", async () => {
  const list: ChatStep[] = [...steps.slice(0, 9), { type: "finish", choice: 0, reason: "length" }, done];
  const { content, stop_reason: reason } = (await toMessage(head, play(list))).body as {
    content: { input?: unknown }[];
    stop_reason: string;
  };
  assert.deepEqual(content.at(-1)?.input, {});
  assert.equal(reason, "max_tokens");
});
