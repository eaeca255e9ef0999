import * as z from "zod";

/**
 * The answers of this server, described once: docs/openapi.json is made of these, and tests hold real answers against
 * them. Objects are strict, so that no member is sent which is not described.
 */
export const count = z.int().min(0);
export const seconds = z.int().min(0).describe("seconds since 1970");
const milliseconds = z.number().min(0);

export const errorBody = z.strictObject({
  error: z.looseObject({
    message: z.string(),
    type: z.string(),
    param: z.string().nullable(),
    code: z.string().nullable(),
  }),
});

export const usage = z.strictObject({
  prompt_tokens: count,
  completion_tokens: count,
  total_tokens: count,
  prompt_tokens_details: z.strictObject({ cached_tokens: count, audio_tokens: z.literal(0) }),
  completion_tokens_details: z.strictObject({
    reasoning_tokens: count,
    audio_tokens: z.literal(0),
    accepted_prediction_tokens: count,
    rejected_prediction_tokens: count,
  }),
});

export const timings = z
  .object({
    cache_n: count,
    prompt_n: count,
    prompt_ms: milliseconds,
    prompt_per_token_ms: milliseconds,
    prompt_per_second: z.number().min(0),
    predicted_n: count,
    predicted_ms: milliseconds,
    predicted_per_token_ms: milliseconds,
    predicted_per_second: z.number().min(0),
    draft_n: count.optional(),
    draft_n_accepted: count.optional(),
  })
  .strict()
  .describe("where the time went: counts are tokens, times milliseconds");

export const progress = z.strictObject({ total: count, cache: count, processed: count, time_ms: milliseconds });

const byte = z.int().min(0).max(255);
const token = z.strictObject({ token: z.string(), bytes: z.array(byte), logprob: z.number().max(0) });
const chance = z.strictObject({ token: z.string(), bytes: z.array(byte), prob: z.number().min(0).max(1) });
/** A sampled token and the likeliest in its place; after the samplers where that was asked for. */
export const logprob = z.union([
  token.extend({ top_logprobs: z.array(token) }),
  chance.extend({ top_probs: z.array(chance) }),
]);

const numbered = { id: count };
/** As llama.cpp's routes report it. */
export const nativeProbability = z.union([
  token.extend({ ...numbered, top_logprobs: z.array(token.extend(numbered)) }),
  chance.extend({ ...numbered, top_probs: z.array(chance.extend(numbered)) }),
]);
