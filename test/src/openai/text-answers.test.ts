/** What POST /v1/completions and POST /completion make of an engine's steps. */
import assert from "node:assert/strict";
import { test } from "node:test";

import type { GenerationStep, LikelyToken, PromptToken, TokenChance } from "../../../src/domain/generation.ts";
import { createNativeEncoder, toNativeAnswer, type NativeHead } from "../../../src/openai/native-answer.ts";
import { pickFields } from "../../../src/openai/response-fields.ts";
import { createTextEncoder, toTextCompletion, type TextPlan } from "../../../src/openai/text-answer.ts";
import { eventsIn } from "../../support/server.ts";

type Members = Readonly<Record<string, unknown>>;

const head = { id: "cmpl-1", created: 1731000000, model: "tiny", fingerprint: "fp" };
const plan: TextPlan = {
  echo: [""],
  choices: 1,
  wanted: 1,
  logprobs: true,
  postSampling: false,
  promptLogprobs: false,
  returnTokens: false,
  responseFields: [],
  includeUsage: false,
};
const nativeHead: NativeHead = {
  model: "tiny",
  contextLength: 100,
  prompts: [{ text: "Hi", tokens: 2 }],
  choices: 1,
  isList: false,
  settings: {},
  postSampling: false,
  returnTokens: true,
  responseFields: [],
};
const done: GenerationStep = {
  type: "done",
  usage: { promptTokens: 2, cachedTokens: 0, completionTokens: 2 },
  timings: { queuedMs: 0, cachedTokens: 0, promptTokens: 2, promptMs: 1, predictedTokens: 2, predictedMs: 1 },
};

function likely(id: number, bytes: readonly number[], logprob: number): LikelyToken {
  return { id, text: Buffer.from(bytes).toString(), bytes, logprob };
}
function chance(id: number, text: string, logprob: number, top: LikelyToken[] = []): TokenChance {
  return { ...likely(id, [...Buffer.from(text)], logprob), top };
}
async function* asStream(steps: readonly GenerationStep[]) {
  yield* steps;
}
async function whole(steps: readonly GenerationStep[], changes: Partial<TextPlan> = {}) {
  const { body } = await toTextCompletion(head, { ...plan, ...changes }, asStream(steps));
  return (body as { choices: Members[] }).choices;
}
function streamed(steps: readonly GenerationStep[], changes: Partial<TextPlan> = {}) {
  const text = steps.map(createTextEncoder(head, { ...plan, ...changes })).join("");
  return eventsIn(text).flatMap((event) => (JSON.parse(event) as { choices: Members[] }).choices);
}

test("offsets count characters, also where a token ends inside one", async () => {
  const [first, second] = [Buffer.from("👋").subarray(0, 2), Buffer.from("👋").subarray(2)];
  const tokens: TokenChance[] = [
    chance(1, "é", -0.5),
    { ...likely(2, [...first], -1), top: [] },
    { ...likely(3, [...second], -Infinity), top: [] },
    chance(4, "!", 1e-9),
  ];
  const steps: GenerationStep[] = [
    { type: "text", choice: 0, text: "é", tokens: tokens.slice(0, 1) },
    { type: "text", choice: 0, text: "👋!", tokens: tokens.slice(1) },
    { type: "finish", choice: 0, reason: "stop" },
    done,
  ];
  const [choice] = await whole(steps);
  const logprobs = choice!["logprobs"] as Members;
  assert.deepEqual(logprobs["text_offset"], [0, 1, 2, 2]);
  assert.deepEqual(logprobs["token_logprobs"], [-0.5, -1, -9999, 0]);
  assert.deepEqual(
    streamed(steps).flatMap((piece) => (piece["logprobs"] as Members | null)?.["text_offset"] ?? []),
    [0, 1, 2, 2],
  );
});

test("an echoed prompt brings its own probabilities, the first of them null", async () => {
  const prompt: PromptToken[] = [{ id: 1, text: "H", bytes: [72] }, chance(2, "i", -2, [chance(9, "o", -1)])];
  const steps: GenerationStep[] = [
    { type: "started" },
    { type: "prompt", tokens: prompt },
    { type: "text", choice: 0, text: "!", tokens: [chance(3, "!", -0.1)] },
    { type: "finish", choice: 0, reason: "length" },
    done,
  ];
  const changes = { echo: ["Hi"], promptLogprobs: true };
  const expected = {
    tokens: ["H", "i", "!"],
    token_logprobs: [null, -2, -0.1],
    top_logprobs: [null, { o: -1, i: -2 }, { "!": -0.1 }],
    text_offset: [0, 1, 2],
  };
  const [choice] = await whole(steps, changes);
  assert.deepEqual(choice, { index: 0, text: "Hi!", logprobs: expected, finish_reason: "length" });
  const pieces = streamed(steps, changes);
  assert.deepEqual(
    pieces.map(({ text }) => text),
    ["Hi", "!", ""],
  );
  const joined = (name: string) => pieces.flatMap((piece) => (piece["logprobs"] as Members | null)?.[name] ?? []);
  assert.deepEqual(joined("text_offset"), [0, 1, 2]);
  assert.deepEqual(joined("tokens"), ["H", "i", "!"]);
});

test("each of several prompts is echoed before its own answers", () => {
  const steps: GenerationStep[] = [
    { type: "started", prompt: 1 },
    { type: "started", prompt: 0 },
    { type: "text", choice: 3, text: "d" },
  ];
  const pieces = streamed(steps, { echo: ["A", "B"], choices: 2, wanted: 2, logprobs: false });
  assert.deepEqual(
    pieces.map(({ index, text }) => [index, text]),
    [
      [2, "B"],
      [3, "B"],
      [0, "A"],
      [1, "A"],
      [3, "d"],
    ],
  );
});

test("token ids and evaluation progress are sent where they are asked for", async () => {
  const steps: GenerationStep[] = [
    { type: "progress", progress: { total: 4, cached: 1, processed: 1, timeMs: 0.4 } },
    { type: "text", choice: 0, text: "a", ids: [7, 8] },
    { type: "finish", choice: 0, reason: "stop" },
    done,
  ];
  assert.deepEqual((await whole(steps, { returnTokens: true }))[0]!["tokens"], [7, 8]);
  const text = steps.map(createTextEncoder(head, { ...plan, returnTokens: true, logprobs: false })).join("");
  const [progress, piece] = eventsIn(text).map((event) => JSON.parse(event) as Members);
  assert.deepEqual(progress!["prompt_progress"], { total: 4, cache: 1, processed: 1, time_ms: 0 });
  assert.deepEqual((piece!["choices"] as Members[])[0]!["tokens"], [7, 8]);
});

test("native pieces have their tokens' ids and slot, whole answers where they are asked for", async () => {
  const steps: GenerationStep[] = [
    { type: "started", slot: 2 },
    { type: "progress", progress: { total: 2, cached: 0, processed: 2, timeMs: 1 } },
    { type: "text", choice: 0, text: "a", ids: [7, 8] },
    { type: "finish", choice: 0, reason: "stop", ending: { tokens: 2, stop: undefined, slot: 2 } },
    done,
  ];
  const text = steps.map(createNativeEncoder(nativeHead)).join("");
  const [progress, piece, last] = eventsIn(text).map((event) => JSON.parse(event) as Members);
  assert.deepEqual(progress!["prompt_progress"], { total: 2, cache: 0, processed: 2, time_ms: 1 });
  assert.deepEqual(piece, {
    index: 0,
    content: "a",
    tokens: [7, 8],
    stop: false,
    id_slot: 2,
    tokens_predicted: 2,
    tokens_evaluated: 2,
  });
  assert.deepEqual([last!["tokens"], last!["id_slot"], last!["slot_id"]], [[], 2, 2]);
  const answer = (await toNativeAnswer(nativeHead, asStream(steps))).body as Members;
  assert.deepEqual(answer["tokens"], [7, 8]);
  const quiet = (await toNativeAnswer({ ...nativeHead, returnTokens: false }, asStream(steps))).body as Members;
  assert.deepEqual(quiet["tokens"], []);
});

test("probabilities after sampling are probabilities, without those that are zero", async () => {
  const top = [likely(5, [97], Math.log(0.75)), likely(6, [98], -Infinity)];
  const steps: GenerationStep[] = [
    { type: "text", choice: 0, text: "a", tokens: [{ ...top[0]!, top }] },
    { type: "finish", choice: 0, reason: "stop" },
    done,
  ];
  const { body } = await toNativeAnswer({ ...nativeHead, postSampling: true }, asStream(steps));
  const entry = { id: 5, token: "a", bytes: [97], prob: 0.75 };
  assert.deepEqual((body as Members)["completion_probabilities"], [{ ...entry, top_probs: [entry] }]);
});

test("picked fields are lifted by their path, and inherited names lead nowhere", () => {
  const answer = { a: { b: { c: 1 }, d: null }, e: [5] };
  assert.deepEqual(pickFields(answer, ["a/b/c", "a/d", "e", "x/y", "toString", "a/constructor", "e/0"]), {
    "a/b/c": 1,
    "a/d": null,
    e: [5],
    "e/0": 5,
  });
  assert.equal(pickFields(answer, []), answer);
});
