import * as z from "zod";

import { count } from "./common.ts";

const settings = z.record(z.string(), z.unknown());

export const health = z.strictObject({ status: z.literal("ok") });
export const props = z.strictObject({
  default_generation_settings: z.strictObject({ params: settings, n_ctx: count }),
  system_prompt: z.string().describe("what a chat without a system message gets; empty is nothing"),
  total_slots: count,
  model_alias: z.string(),
  model_path: z.string().describe("the file's name only"),
  chat_template: z.string(),
  chat_template_caps: z.record(z.string(), z.boolean()),
  bos_token: z.string(),
  eos_token: z.string(),
  build_info: z.string(),
  modalities: z.strictObject({ vision: z.literal(false), audio: z.literal(false) }),
  is_sleeping: z.literal(false),
});
export const slots = z.array(
  z.strictObject({
    id: count,
    id_task: z.int().min(-1),
    n_ctx: count,
    speculative: z.boolean(),
    is_processing: z.boolean(),
    n_prompt_tokens_cache: count,
    params: settings.describe("what a running request asked for; no text of it"),
    next_token: z.array(
      z.strictObject({ has_next_token: z.boolean(), has_new_line: z.boolean(), n_remain: count, n_decoded: count }),
    ),
  }),
);
export const erasedSlot = z.strictObject({ id_slot: count, n_erased: count });
export const adapters = z.array(z.never());
