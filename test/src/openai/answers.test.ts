import assert from "node:assert/strict";
import { test } from "node:test";

import type { ChatStep } from "../../../src/domain/chat.ts";
import { CodedError } from "../../../src/domain/errors.ts";
import { createChatChunkEncoder } from "../../../src/openai/chat-chunks.ts";
import { toChatCompletion } from "../../../src/openai/chat-response.ts";
import { toErrorAnswer } from "../../../src/openai/error-envelope.ts";

const head = { id: "chatcmpl-1", created: 1731000000, model: "tiny", fingerprint: "fp" };
const noReport = { logprobs: false, postSampling: false, ids: false };
const done: ChatStep = {
  type: "done",
  usage: { promptTokens: 9, cachedTokens: 4, completionTokens: 8, thinkingTokens: 0 },
  timings: { queuedMs: 1, cachedTokens: 4, promptTokens: 5, promptMs: 10, predictedTokens: 8, predictedMs: 0 },
};
const steps: ChatStep[] = [
  { type: "started" },
  { type: "text", choice: 0, text: "Hel" },
  { type: "text", choice: 1, text: 'By"e\n' },
  { type: "text", choice: 0, text: "lo 👋" },
  { type: "finish", choice: 1, reason: "length" },
  { type: "text", choice: 0, text: "" },
  { type: "finish", choice: 0, reason: "stop" },
  done,
];
const usage = {
  prompt_tokens: 9,
  completion_tokens: 8,
  total_tokens: 17,
  prompt_tokens_details: { cached_tokens: 4, audio_tokens: 0 },
  completion_tokens_details: {
    reasoning_tokens: 0,
    audio_tokens: 0,
    accepted_prediction_tokens: 0,
    rejected_prediction_tokens: 0,
  },
};
const timings = {
  cache_n: 4,
  prompt_n: 5,
  prompt_ms: 10,
  prompt_per_token_ms: 2,
  prompt_per_second: 500,
  predicted_n: 8,
  predicted_ms: 0,
  predicted_per_token_ms: 0,
  predicted_per_second: 0,
};
const common = { id: "chatcmpl-1", object: "chat.completion.chunk", created: 1731000000, model: "tiny" };

async function* asStream() {
  yield* steps;
}

function chunks(includeUsage: boolean): Record<string, unknown>[] {
  return steps
    .map(createChatChunkEncoder(head, { choices: 2, includeUsage, report: noReport, oldCalls: false }))
    .join("")
    .split("\n\n")
    .filter((event) => event !== "")
    .map((event) => {
      assert.ok(event.startsWith("data: "));
      return JSON.parse(event.slice("data: ".length)) as Record<string, unknown>;
    });
}

function message(content: string) {
  return { role: "assistant", content, refusal: null, annotations: [] };
}

function chunk(index: number, delta: object, reason: string | null = null) {
  return {
    ...common,
    system_fingerprint: "fp",
    choices: [{ index, delta, logprobs: null, finish_reason: reason }],
  };
}

test("all steps make one chat completion with every member", async () => {
  const { body } = await toChatCompletion(
    head,
    { choices: 2, report: noReport, oldCalls: false, fields: [] },
    asStream(),
  );
  assert.deepEqual(body, {
    id: "chatcmpl-1",
    object: "chat.completion",
    created: 1731000000,
    model: "tiny",
    system_fingerprint: "fp",
    service_tier: "default",
    choices: [
      { index: 0, finish_reason: "stop", logprobs: null, message: message("Hello 👋") },
      { index: 1, finish_reason: "length", logprobs: null, message: message('By"e\n') },
    ],
    usage,
    timings,
  });
});

test("chunks come as roles, contents, reasons alone, with the timings in the last", () => {
  const role = { role: "assistant", content: "", refusal: null };
  assert.deepEqual(chunks(false), [
    chunk(0, role),
    chunk(1, role),
    chunk(0, { content: "Hel" }),
    chunk(1, { content: 'By"e\n' }),
    chunk(0, { content: "lo 👋" }),
    chunk(1, {}, "length"),
    { ...chunk(0, {}, "stop"), timings },
  ]);
});

test("with include_usage the last chunk has the usage and no choices, all earlier ones null", () => {
  const all = chunks(true);
  const last = all.pop();
  assert.deepEqual(last, { ...common, system_fingerprint: "fp", choices: [], usage, timings });
  assert.equal(all.length, 7);
  for (const earlier of all) {
    assert.equal(earlier["usage"], null);
    assert.ok(!("timings" in earlier));
  }
});

test("an error has its status, all four members and its details", () => {
  const overflow = new CodedError("context_length_exceeded", "Too long.", {
    param: "messages",
    details: { n_prompt_tokens: 5000, n_ctx: 4096 },
  });
  assert.deepEqual(toErrorAnswer(overflow), {
    status: 400,
    retryAfterSeconds: undefined,
    body: {
      error: {
        message: "Too long.",
        type: "exceed_context_size_error",
        param: "messages",
        code: "context_length_exceeded",
        n_prompt_tokens: 5000,
        n_ctx: 4096,
      },
    },
  });
});

test("each code has the contract's status and type", () => {
  const invalid = "invalid_request_error";
  const rows = [
    ["invalid_json", 400, invalid],
    ["invalid_type", 400, invalid],
    ["invalid_value", 400, invalid],
    ["missing_required_parameter", 400, invalid],
    ["unsupported_value", 400, invalid],
    ["unsupported_parameter", 400, invalid],
    ["context_length_exceeded", 400, "exceed_context_size_error"],
    ["invalid_api_key", 401, invalid],
    ["model_not_found", 404, invalid],
    ["not_found", 404, invalid],
    ["method_not_allowed", 405, invalid],
    ["request_too_large", 413, invalid],
    ["unsupported_media_type", 415, invalid],
    ["rate_limit_exceeded", 429, "rate_limit_error"],
    ["not_supported", 501, "not_supported_error"],
    ["model_loading", 503, "unavailable_error"],
    ["shutting_down", 503, "unavailable_error"],
  ] as const;
  for (const [code, status, type] of rows) {
    const answer = toErrorAnswer(new CodedError(code, "Said."));
    assert.deepEqual([answer.status, answer.body.error], [status, { message: "Said.", type, param: null, code }]);
    assert.equal(answer.retryAfterSeconds !== undefined, status === 429 || status === 503);
  }
});

test("faults of this side say nothing of their cause", () => {
  for (const error of [
    new Error("/srv/secret.ts"),
    new CodedError("model_load_failed", "/models/0/secret.gguf"),
    new CodedError("disk_full", "/secret"),
    "secret",
    undefined,
  ]) {
    const { status, body } = toErrorAnswer(error);
    assert.equal(status, 500);
    assert.deepEqual({ ...body.error, message: "" }, { message: "", type: "server_error", param: null, code: null });
    assert.doesNotMatch(body.error.message, /secret/);
  }
});

const likely = { id: 5, text: "Hi", bytes: [72, 105], logprob: -0.5 };
const never = { id: 6, text: String.raw`\xf0`, bytes: [240], logprob: -Infinity };
const reported: ChatStep[] = [
  { type: "started" },
  { type: "text", choice: 0, text: "Hi", tokens: [{ ...likely, top: [likely, never] }] },
  { type: "text", choice: 0, text: "", tokens: [{ ...never, top: [] }] },
  { type: "finish", choice: 0, reason: "stop" },
  done,
];
const entries = [
  {
    token: "Hi",
    logprob: -0.5,
    bytes: [72, 105],
    top_logprobs: [
      { token: "Hi", logprob: -0.5, bytes: [72, 105] },
      { token: String.raw`\xf0`, logprob: -9999, bytes: [240] },
    ],
  },
  { token: String.raw`\xf0`, logprob: -9999, bytes: [240], top_logprobs: [] },
];

test("an answer reports its tokens' probabilities, what cannot be as -9999", async () => {
  async function* asReported() {
    yield* reported;
  }
  const { body } = await toChatCompletion(
    head,
    { choices: 1, report: { ...noReport, logprobs: true }, oldCalls: false, fields: [] },
    asReported(),
  );
  const [choice] = (body as { choices: { logprobs: unknown }[] }).choices;
  assert.deepEqual(choice?.logprobs, { content: entries, refusal: null });
});

test("in a stream the probabilities travel with their text", () => {
  const events = reported
    .map(createChatChunkEncoder(head, { choices: 1, includeUsage: false, report: noReport, oldCalls: false }))
    .join("")
    .split("\n\n")
    .filter((event) => event.includes('"bytes"'))
    .map((event) => JSON.parse(event.slice("data: ".length)) as { choices: unknown[] });
  assert.deepEqual(
    events.map(({ choices }) => choices[0]),
    ["Hi", ""].map((content, index) => ({
      index: 0,
      delta: { content },
      logprobs: { content: [entries[index]], refusal: null },
      finish_reason: null,
    })),
  );
});
