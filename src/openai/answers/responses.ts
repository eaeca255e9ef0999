import * as z from "zod";

import { count, logprob, seconds } from "./common.ts";

const itemStatus = z.enum(["in_progress", "completed", "incomplete"]);
const textPart = z.strictObject({
  type: z.literal("output_text"),
  text: z.string(),
  annotations: z.array(z.never()),
  logprobs: z.array(logprob),
});
const outputItem = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("message"),
    id: z.string(),
    status: itemStatus,
    role: z.literal("assistant"),
    content: z.array(textPart).max(1),
  }),
  z.strictObject({
    type: z.literal("function_call"),
    id: z.string(),
    status: itemStatus,
    call_id: z.string(),
    name: z.string(),
    arguments: z.string(),
  }),
  z.strictObject({
    type: z.literal("reasoning"),
    id: z.string(),
    status: itemStatus,
    summary: z.array(z.never()),
    content: z.array(z.strictObject({ type: z.literal("reasoning_text"), text: z.string() })).max(1),
  }),
]);
const text = z.string().nullable();
const status = z.enum(["queued", "in_progress", "completed", "incomplete", "cancelled", "failed"]);

export const response = z.strictObject({
  id: z.string(),
  object: z.literal("response"),
  created_at: seconds,
  completed_at: seconds.nullable(),
  status,
  error: z.strictObject({ code: z.string(), message: z.string() }).nullable(),
  incomplete_details: z.strictObject({ reason: z.literal("max_output_tokens") }).nullable(),
  model: z.string(),
  output: z.array(outputItem),
  background: z.boolean(),
  instructions: text,
  max_output_tokens: count.nullable(),
  max_tool_calls: count.nullable(),
  metadata: z.record(z.string(), z.string()),
  parallel_tool_calls: z.boolean(),
  previous_response_id: text,
  prompt_cache_key: text,
  reasoning: z.strictObject({ effort: text, summary: text }),
  safety_identifier: text,
  service_tier: z.literal("default"),
  store: z.boolean(),
  temperature: z.number(),
  text: z.strictObject({ format: z.looseObject({ type: z.string() }), verbosity: z.string() }),
  tool_choice: z.union([z.string(), z.looseObject({ type: z.string() })]),
  tools: z.array(z.looseObject({ type: z.string() })),
  top_logprobs: count,
  top_p: z.number(),
  truncation: z.enum(["auto", "disabled"]),
  user: text,
  usage: z
    .strictObject({
      input_tokens: count,
      input_tokens_details: z.strictObject({ cached_tokens: count }),
      output_tokens: count,
      output_tokens_details: z.strictObject({ reasoning_tokens: count }),
      total_tokens: count,
    })
    .nullable(),
});

const numbered = { sequence_number: count };
const place = { item_id: z.string(), output_index: count };
const part = { ...place, content_index: count };
const whole = (type: string) => z.strictObject({ type: z.literal(type), ...numbered, response });

export const responseEvent = z.discriminatedUnion("type", [
  whole("response.created"),
  whole("response.queued"),
  whole("response.in_progress"),
  whole("response.completed"),
  whole("response.incomplete"),
  whole("response.failed"),
  z.strictObject({
    type: z.enum(["response.output_item.added", "response.output_item.done"]),
    ...numbered,
    output_index: count,
    item: outputItem,
  }),
  z.strictObject({
    type: z.enum(["response.content_part.added", "response.content_part.done"]),
    ...numbered,
    ...part,
    part: textPart,
  }),
  z.strictObject({
    type: z.literal("response.output_text.delta"),
    ...numbered,
    ...part,
    delta: z.string(),
    logprobs: z.array(logprob),
  }),
  z.strictObject({
    type: z.literal("response.output_text.done"),
    ...numbered,
    ...part,
    text: z.string(),
    logprobs: z.array(logprob),
  }),
  z.strictObject({ type: z.literal("response.reasoning_text.delta"), ...numbered, ...part, delta: z.string() }),
  z.strictObject({ type: z.literal("response.reasoning_text.done"), ...numbered, ...part, text: z.string() }),
  z.strictObject({
    type: z.literal("response.function_call_arguments.delta"),
    ...numbered,
    ...place,
    delta: z.string(),
  }),
  z.strictObject({
    type: z.literal("response.function_call_arguments.done"),
    ...numbered,
    ...place,
    name: z.string(),
    arguments: z.string(),
  }),
  z.strictObject({ type: z.literal("error"), ...numbered, code: z.string(), message: z.string(), param: z.null() }),
]);

export const responseEvents = z.strictObject({
  object: z.literal("list"),
  data: z.array(responseEvent),
  last_sequence_number: z.int().min(-1),
  status,
  done: z.boolean(),
});
export const deletedResponse = z.strictObject({
  id: z.string(),
  object: z.literal("response"),
  deleted: z.literal(true),
});
export const inputItems = z.strictObject({
  object: z.literal("list"),
  data: z.array(z.looseObject({ type: z.string(), id: z.string() })),
  first_id: text,
  last_id: text,
  has_more: z.boolean(),
});
