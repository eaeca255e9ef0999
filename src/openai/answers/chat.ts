import * as z from "zod";

import { count, logprob, progress, seconds, timings, usage } from "./common.ts";

const finishReason = z.enum(["stop", "length", "tool_calls", "function_call"]);
const logprobs = z.strictObject({ content: z.array(logprob), refusal: z.null() }).nullable();
const call = z.strictObject({ name: z.string(), arguments: z.string() });
const ids = z.array(count).optional();

const head = {
  id: z.string(),
  created: seconds,
  model: z.string(),
  system_fingerprint: z.string(),
};

export const chatCompletion = z.strictObject({
  ...head,
  object: z.literal("chat.completion"),
  service_tier: z.literal("default"),
  choices: z.array(
    z.strictObject({
      index: count,
      finish_reason: finishReason,
      logprobs,
      message: z.strictObject({
        role: z.literal("assistant"),
        content: z.string().nullable(),
        reasoning_content: z.string().optional(),
        refusal: z.null(),
        annotations: z.array(z.never()),
        tool_calls: z
          .array(z.strictObject({ id: z.string(), type: z.literal("function"), function: call }))
          .min(1)
          .optional(),
        function_call: call.optional(),
      }),
      tokens: ids,
    }),
  ),
  usage,
  timings,
  __verbose: z
    .strictObject({ prompt: z.string(), generation_settings: z.record(z.string(), z.unknown()) })
    .optional()
    .describe("with `verbose`: what the answer was made from"),
});

/** The first fragment of a call has its id and name, the later ones pieces of its arguments only. */
const callFragment = z.union([
  z.strictObject({ index: count, id: z.string(), type: z.literal("function"), function: call }),
  z.strictObject({ index: count, function: z.strictObject({ arguments: z.string() }) }),
]);

export const chatCompletionChunk = z.strictObject({
  ...head,
  object: z.literal("chat.completion.chunk"),
  choices: z
    .array(
      z.strictObject({
        index: count,
        finish_reason: finishReason.nullable(),
        logprobs,
        delta: z.strictObject({
          role: z.literal("assistant").optional(),
          content: z.string().optional(),
          reasoning_content: z.string().optional(),
          refusal: z.null().optional(),
          tool_calls: z.array(callFragment).optional(),
          function_call: z.strictObject({ name: z.string().optional(), arguments: z.string() }).optional(),
        }),
        tokens: ids,
      }),
    )
    .max(1),
  usage: usage.nullable().optional(),
  timings: timings.optional(),
  prompt_progress: progress.optional(),
});

export const inputTokens = z.strictObject({ object: z.literal("response.input_tokens"), input_tokens: count });
