import * as z from "zod";

import { schemaOf } from "./body.ts";
import { logitBias } from "./logit-bias.ts";
import { messages } from "./messages.ts";
import { samplers } from "./samplers.ts";
import { responseFormat } from "./structure.ts";
import { oldFunctionCall, oldFunctions, toolChoice, tools } from "./tools.ts";
import { accepted, honoured, ignored, neutral, type Field } from "./field.ts";
import { array, boolean, integer, number, numberAbove, object, oneOf, string } from "./schemas.ts";

const anyNumber = z.number({ error: "a number" });
const isEmpty = (value: readonly unknown[] | object) => Object.keys(value).length === 0;
const never = () => false;

const targetError = { error: "a number of at most 1" };
const adaptiveTarget = z.number(targetError).max(1, targetError);

/** llama.cpp's. */
export const DEFAULT_DRY_BASE = 1.75;
const breakersError = { error: "a non-empty array of at most 64 strings" };
const breakers = z.array(string(), breakersError).min(1, breakersError).max(64, breakersError);

const tokenLimitError = { error: "an integer of at least 1, or -1 for no limit" };
export const tokenLimit = z.int(tokenLimitError).refine((tokens) => tokens >= 1 || tokens === -1, tokenLimitError);

const MAX_STOPS = 64;
const stopError = { error: `a string or an array of at most ${MAX_STOPS} strings` };
const stop = z.union([z.string(), z.array(string(), stopError).max(MAX_STOPS, stopError)], stopError);

// JSON numbers of 64 bits lose their last digits on the way in, always in the same way.
const seedError = { error: "an integer of at most 64 bits" };
const seed = z
  .number(seedError)
  .refine((value) => Number.isInteger(value), { ...seedError, params: { code: "invalid_type" }, abort: true })
  .min(-(2 ** 63), seedError)
  .max(2 ** 64, seedError)
  .meta({ type: "integer" });

const pingError = { error: "an integer between 1 and 3600, or -1 for none" };
const pingInterval = z.int(pingError).refine((value) => value === -1 || (value >= 1 && value <= 3600), pingError);

const metadataError = { error: "an object of at most 16 strings" };
const metadata = z
  .record(z.string(), string(), metadataError)
  .refine((value) => Object.keys(value).length <= 16, metadataError);

/** Whole vocabularies of small models; of large ones, what a stream can carry for each token. */
const MAX_PROBABILITIES = 4096;
const responseFields = z.array(string(), { error: "an array of strings" });

const NO_AUDIO = "the model reads and writes text only. Leave it out.";

/** What every generating route takes, with the same meaning. */
export const SHARED_FIELDS = {
  model: honoured(string().optional(), "the served model's id or an alias; absent or empty is the served model"),
  stream: honoured(boolean().default(false), "send the answer in pieces"),
  sse_ping_interval: honoured(pingInterval.optional(), "seconds of silence before a comment is sent; -1 never"),

  temperature: honoured(number(0, 2).default(0.8), "0 is greedy"),
  top_p: honoured(number(0, 1).default(0.95), "probability mass kept; 1 keeps all"),
  top_k: honoured(integer(-1).default(40), "candidates kept; 0 and -1 keep all"),
  min_p: honoured(number(0, 1).default(0.05), "least share of the best candidate's probability; 0 keeps all"),
  repeat_penalty: honoured(numberAbove(0).default(1), "1 is off"),
  repeat_last_n: honoured(integer(-1).default(64), "tokens that the penalties look at; 0 is off, -1 all"),
  presence_penalty: honoured(number(-2, 2).default(0), "subtracted once from tokens seen"),
  frequency_penalty: honoured(number(-2, 2).default(0), "subtracted for each time a token was seen"),
  xtc_probability: honoured(number(0, 1).default(0), "how often the likeliest candidates are dropped; 0 is off"),
  xtc_threshold: honoured(number(0, 1).default(0.1), "probability from which candidates may be dropped; above 0.5 off"),
  dry_multiplier: honoured(number(0, 100).default(0), "strength of the penalty on repeated sequences; 0 is off"),
  dry_base: honoured(anyNumber.default(DEFAULT_DRY_BASE), "its growth with a repetition's length"),
  dry_allowed_length: honoured(integer(0).default(2), "length of repetitions that is free"),
  dry_penalty_last_n: honoured(integer(-1).default(64), "tokens of the answer that it looks at; 0 is off, -1 all"),
  dry_sequence_breakers: honoured(breakers.default(["\n", ":", '"', "*"]), "texts that no repetition reaches across"),
  dynatemp_range: honoured(number(0, 100).default(0), "how far the temperature moves with the entropy; 0 is off"),
  dynatemp_exponent: honoured(anyNumber.default(1), "shape of that"),
  typical_p: honoured(number(0, 1).default(1), "locally typical mass kept; 1 keeps all"),
  top_n_sigma: honoured(anyNumber.default(-1), "deviations below the best logit that are kept; 0 and less keep all"),
  mirostat: honoured(integer(0, 2).default(0), "1 or 2 hold the surprise at a target, in place of the samplers above"),
  mirostat_tau: honoured(numberAbove(0).default(5), "that target, in bits"),
  mirostat_eta: honoured(numberAbove(0).default(0.1), "how fast it is approached"),
  adaptive_target: honoured(adaptiveTarget.default(-1), "mean probability of chosen tokens; below 0 is off"),
  adaptive_decay: honoured(number(0, 0.99).default(0.9), "weight of the past in that mean"),
  min_keep: honoured(integer(0).default(0), "candidates that truncating samplers leave at least"),
  samplers: honoured(samplers.optional(), "which samplers act, in which order: llama.cpp's names or letters"),
  logit_bias: honoured(logitBias.default([]), "added to tokens' logits, by id or text; false is never"),
  ignore_eos: honoured(boolean().default(false), "no end token is ever chosen"),
  seed: honoured(seed.optional(), "same seed and request, same text; -1 is random"),
  penalize_nl: ignored(boolean()),
  tfs_z: ignored(anyNumber),

  json_schema: honoured(object().optional(), "llama.cpp's: the schema of the answer, which is JSON"),
  grammar: honoured(string().optional(), "llama.cpp's: GBNF with a rule `root` that the answer follows"),
  grammar_lazy: ignored(boolean()),
  grammar_triggers: ignored(array()),
  preserved_tokens: ignored(array()),

  cache_prompt: honoured(boolean().default(true), "false: evaluate all of the prompt again"),
  id_slot: honoured(integer(-1).optional(), "the slot that is wanted, where it is free; -1 is any"),
  slot_id: honoured(integer(-1).optional(), "old name of id_slot, which wins"),
  "speculative.n_max": honoured(integer(0).optional(), "most tokens to guess ahead at once; 0 is none, same text"),
  "speculative.n_min": honoured(integer(0).optional(), "guess at least so many ahead where text repeats, same text"),
  n_keep: ignored(integer(-1)),
  n_discard: ignored(integer(0)),
  n_cache_reuse: ignored(integer(0)),
  n_indent: honoured(integer(0).default(0), "end before a line that is indented less; 0 is off"),
  t_max_predict_ms: honoured(
    z.int({ error: "an integer" }).optional(),
    "end at the first line end after this time; 0 and less is no limit",
  ),
  lora: neutral(array(), isEmpty, "the server has loaded no adapter. Leave it out."),
} as const satisfies Record<string, Field>;

/** What the routes take that can give several answers. */
export const CHOICE_FIELDS = {
  n_predict: honoured(integer(-1).optional(), "llama.cpp's name of max_tokens; wins over both, may be 0"),
  n_cmpl: honoured(integer(1, 128).optional(), "llama.cpp's name of n, which wins"),
  stop: honoured(stop.optional(), "texts that end an answer"),
  stream_options: honoured(
    z
      .object(
        { include_usage: boolean().nullish(), include_obfuscation: boolean().nullish() },
        { error: "an object with `include_usage`" },
      )
      .optional(),
    "include_usage: end the stream with the token counts",
  ),
  response_format: honoured(responseFormat.optional(), "the answer's form: text, a JSON object, or JSON of a schema"),
} as const satisfies Record<string, Field>;

/** What else an answer tells, where its form has room for it. */
export const REPORT_FIELDS = {
  n_probs: honoured(integer(0, MAX_PROBABILITIES).default(0), "llama.cpp's: logprobs with so many top_logprobs"),
  post_sampling_probs: honoured(boolean().default(false), "report probabilities as the samplers leave them"),
  timings_per_token: honoured(boolean().default(false), "send timings with each piece of a stream"),
  return_progress: honoured(boolean().default(false), "report in a stream how far the prompt is evaluated"),
  return_tokens: honoured(boolean().default(false), "report the answer's token ids as `tokens`"),
  response_fields: honoured(responseFields.default([]), "keep only these members of a whole answer; `a/b` lifts b"),
  verbose: ignored(boolean()),
} as const satisfies Record<string, Field>;

/** What OpenAI's service asks of its customers. */
export const ACCOUNT_FIELDS = {
  user: accepted(string()),
  safety_identifier: accepted(string()),
  metadata: accepted(metadata),
  store: accepted(boolean()),
  service_tier: accepted(oneOf("auto", "default", "flex", "scale", "priority")),
  prompt_cache_key: accepted(string()),
  prompt_cache_options: accepted(object()),
  prompt_cache_retention: accepted(oneOf("in_memory", "in-memory", "24h")),
  verbosity: accepted(oneOf("low", "medium", "high")),
  prediction: accepted(object()),
  moderation: neutral(object(), never, "this server does not moderate. Leave it out."),
} as const satisfies Record<string, Field>;

/** What the routes take that put a conversation into the model's template. */
export const TEMPLATE_FIELDS = {
  chat_template_kwargs: honoured(object().optional(), "further variables for the model's template"),
} as const satisfies Record<string, Field>;

/**
 * Every member that a chat request's body may hold. Validation happens from this table, in its order; members that
 * are not in it are ignored and reported. Meanings and defaults are OpenAI's and llama.cpp's.
 */
export const CHAT_FIELDS = {
  messages: honoured(messages, "the conversation to continue"),
  max_completion_tokens: honoured(tokenLimit.optional(), "tokens of each answer; -1 is no limit"),
  max_tokens: honoured(tokenLimit.optional(), "old name of max_completion_tokens, which wins"),
  n: honoured(integer(1, 128).optional(), "answers to the one prompt"),
  ...SHARED_FIELDS,
  ...CHOICE_FIELDS,
  logprobs: honoured(boolean().default(false), "report each token's probability, before any sampler"),
  top_logprobs: honoured(integer(0, 20).default(0), "likeliest tokens reported beside each; needs logprobs"),
  tools: honoured(tools.optional(), "functions that the answer may call"),
  tool_choice: honoured(toolChoice.optional(), "whether the answer may, or must, call some, one or none of them"),
  parallel_tool_calls: honoured(boolean().default(true), "false: at most one call"),
  functions: honoured(oldFunctions.optional(), "old form of tools"),
  function_call: honoured(oldFunctionCall.optional(), "old form of tool_choice"),
  modalities: neutral(
    z.array(string(), { error: "an array of strings" }),
    (kinds) => kinds.every((kind) => kind === "text"),
    'the model writes text only. Leave it out or give ["text"].',
    "unsupported_value",
  ),
  audio: neutral(object(), never, NO_AUDIO),
  web_search_options: neutral(object(), never, "this server does not search the web. Leave it out."),
  reasoning_effort: honoured(
    oneOf("none", "minimal", "low", "medium", "high", "xhigh", "max").optional(),
    "given to the model's template; none asks it not to think",
  ),
  reasoning_format: honoured(
    oneOf("none", "auto", "deepseek").default("auto"),
    "where thinking text goes: into the answer (none) or into reasoning_content",
  ),
  add_generation_prompt: honoured(boolean().optional(), "false: no new turn is opened for the answer"),
  continue_final_message: honoured(
    boolean().optional(),
    "go on with the last message; an assistant's is gone on with unless this is false",
  ),
  ...TEMPLATE_FIELDS,
  ...REPORT_FIELDS,
  verbose: honoured(boolean().default(false), "add `__verbose` to a whole answer: the prompt and all settings"),
  ...ACCOUNT_FIELDS,
} as const satisfies Record<string, Field>;

export const chatBody = z.object(schemaOf(CHAT_FIELDS));
