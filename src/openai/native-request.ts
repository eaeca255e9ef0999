import * as z from "zod";

import type { GenerateRequest, Prompt, TokenizedParts } from "../domain/generation.ts";
import { NO_DEFAULTS, type ModelDefaults } from "../domain/model-defaults.ts";
import { readBody, schemaOf } from "./body.ts";
import { TEXT_FIELDS } from "./completion-request.ts";
import { honoured, neutral } from "./field.ts";
import { nativeLogitBias } from "./logit-bias.ts";
import { toNativeSettings, type NativeSettings } from "./native-settings.ts";
import { toTask, toSettings, type RequestSettings } from "./request.ts";
import { array, integer, string } from "./schemas.ts";
import { tokenizedPart, tokenizedParts } from "./token-parts.ts";

const MAX_PROMPTS = 256;

const promptError = {
  error: "a string, an array of token ids and strings, an object with `prompt_string`, or an array of several of these",
};
const wrapped = z.object({ prompt_string: string(), multimodal_data: array().max(0).nullish() }, promptError);
const item = z.union([tokenizedPart, tokenizedParts.min(1, promptError), wrapped], promptError);
const list = z.array(item, promptError).min(1, promptError);

/** Whether the client gave a list, and so gets one. */
interface NativePrompts {
  readonly isList: boolean;
  readonly prompts: readonly TokenizedParts[];
}

const prompt = z
  .union([z.string(), wrapped, list], promptError)
  .transform(toPrompts)
  .refine(({ prompts }) => prompts.length <= MAX_PROMPTS, { error: `at most ${MAX_PROMPTS} prompts` });

/** A flat array with a number in it is one prompt. */
function toPrompts(given: string | z.output<typeof wrapped> | z.output<typeof list>): NativePrompts {
  if (!Array.isArray(given)) return { isList: false, prompts: [toParts(given)] };
  const isFlat = given.every((part) => typeof part === "number" || typeof part === "string");
  if (isFlat && given.some((part) => typeof part === "number")) return { isList: false, prompts: [given] };
  return { isList: true, prompts: given.map(toParts) };
}

function toParts(given: z.output<typeof item>): TokenizedParts {
  if (typeof given === "string" || typeof given === "number") return [given];
  return "prompt_string" in given ? [given.prompt_string] : given;
}

const TEXT_ONLY = "the model reads text only. Leave it out.";
const isEmpty = (items: readonly unknown[]) => items.length === 0;
const atLeastZero = { error: "a number of at least 0" };
const anyNumber = z.number({ error: "a number" });

/** As the fields of /v1/completions that continue a text, with llama.cpp's own ranges. */
export const NATIVE_TEXT_FIELDS = {
  ...TEXT_FIELDS,
  temperature: honoured(z.number(atLeastZero).min(0, atLeastZero).default(0.8), "0 is greedy"),
  presence_penalty: honoured(anyNumber.default(0), "subtracted once from tokens seen"),
  frequency_penalty: honoured(anyNumber.default(0), "subtracted for each time a token was seen"),
  logit_bias: honoured(nativeLogitBias.default([]), "added to tokens' logits, by id or text; false is never"),
  max_tokens: honoured(integer(-1).optional(), "another name of n_predict, which wins"),
  n: honoured(integer(1, 128).optional(), "answers to each prompt"),
  image_data: neutral(array(), isEmpty, TEXT_ONLY),
  multimodal_data: neutral(array(), isEmpty, TEXT_ONLY),
  system_prompt: {
    use: "ignored",
    schema: z.unknown().optional(),
    meaning: "no effect, reported as ignored",
  },
} as const;

export const NATIVE_FIELDS = {
  prompt: honoured(prompt, "what to continue: a string, token ids and strings, {prompt_string}, or a list of these"),
  ...NATIVE_TEXT_FIELDS,
} as const;

const nativeBody = z.object(schemaOf(NATIVE_FIELDS));

export interface NativeRequest extends RequestSettings {
  readonly generate: readonly GenerateRequest[];
  /** Whether the answer is a list. */
  readonly isList: boolean;
  /** llama.cpp's echo of all parameters, defaults filled in. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Whether token ids are sent with whole answers; streams always have them. */
  readonly returnTokens: boolean;
  /** Members of the last object that are wanted; none is all. */
  readonly responseFields: readonly string[];
}

/**
 * Body of POST /completion → what the engine is asked.
 * Errors: `invalid_type`, `invalid_value`, `missing_required_parameter`, `unsupported_value`, `unsupported_parameter`,
 * `invalid_json_schema`, `invalid_grammar`.
 */
export function parseNativeRequest(body: unknown, defaults: ModelDefaults = NO_DEFAULTS): NativeRequest {
  const { fields, ignored } = readBody(NATIVE_FIELDS, nativeBody, body, defaults.sampling);
  const { isList, prompts } = fields.prompt;
  return {
    ...toNativeTask(
      fields,
      ignored,
      prompts.map((parts) => ({ kind: "text", parts })),
    ),
    ...(isList && { isList }),
  };
}

/** What native routes make of a body beside its prompt. */
export function toNativeTask(
  fields: NativeSettings & { readonly n?: number | undefined; readonly max_tokens?: number | undefined },
  ignored: readonly string[],
  prompts: readonly Prompt[],
): NativeRequest {
  const choices = fields.n ?? fields.n_cmpl ?? 1;
  const limit = fields.n_predict ?? fields.max_tokens;
  const task: Omit<GenerateRequest, "prompt"> = {
    ...toTask(fields, choices, limit),
    topLogprobs: fields.n_probs > 0 ? fields.n_probs : undefined,
    postSampling: fields.post_sampling_probs,
    reportIds: fields.stream || fields.return_tokens,
  };
  return {
    ...toSettings(fields, ignored),
    generate: prompts.map((given) => ({ prompt: given, ...task })),
    isList: choices > 1,
    settings: toNativeSettings(fields, task),
    returnTokens: fields.return_tokens,
    responseFields: fields.response_fields,
  };
}
