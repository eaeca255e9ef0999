import * as z from "zod";

import { count, logprob, nativeProbability, progress, seconds, timings, usage } from "./common.ts";

const byToken = z.record(z.string(), z.number().max(0)).nullable();
const choice = z.strictObject({
  index: count,
  text: z.string(),
  logprobs: z
    .union([
      z.strictObject({
        tokens: z.array(z.string()),
        token_logprobs: z.array(z.number().max(0).nullable()),
        top_logprobs: z.array(byToken),
        text_offset: z.array(count),
      }),
      z
        .strictObject({ content: z.array(logprob), refusal: z.null() })
        .describe("with `post_sampling_probs`: llama.cpp's names for probabilities after the samplers"),
    ])
    .nullable(),
  finish_reason: z.enum(["stop", "length"]),
  tokens: z.array(count).optional(),
});
const head = {
  id: z.string(),
  object: z.literal("text_completion"),
  created: seconds,
  model: z.string(),
  system_fingerprint: z.string(),
};

export const textCompletion = z.strictObject({ ...head, choices: z.array(choice), usage, timings });

export const textCompletionChunk = z.strictObject({
  ...head,
  choices: z.array(choice.extend({ finish_reason: choice.shape.finish_reason.nullable() })).max(1),
  usage: usage.nullable().optional(),
  timings: timings.optional(),
  prompt_progress: progress.optional(),
});

const slot = z.int().min(-1);
const probabilities = z.array(nativeProbability).optional();
const nativeResult = z.strictObject({
  index: count,
  content: z.string(),
  tokens: z.array(count),
  id_slot: slot,
  stop: z.literal(true),
  model: z.string(),
  tokens_predicted: count,
  tokens_evaluated: count,
  generation_settings: z.record(z.string(), z.unknown()).describe("every parameter, defaults filled in"),
  prompt: z.string(),
  has_new_line: z.boolean(),
  truncated: z.boolean(),
  stop_type: z.enum(["eos", "limit", "word"]),
  stopping_word: z.string(),
  tokens_cached: count,
  timings,
  completion_probabilities: probabilities,
  slot_id: slot,
  stopped_eos: z.boolean(),
  stopped_limit: z.boolean(),
  stopped_word: z.boolean(),
});
/** A list where several answers were asked for. */
export const nativeCompletion = z.union([nativeResult, z.array(nativeResult)]);

const nativePiece = z.strictObject({
  index: count,
  content: z.string(),
  tokens: z.array(count),
  stop: z.literal(false),
  id_slot: slot,
  tokens_predicted: count,
  tokens_evaluated: count,
  completion_probabilities: probabilities,
  timings: timings.optional(),
  prompt_progress: progress.optional(),
});
export const nativeEvent = z.union([nativePiece, nativeResult]);
