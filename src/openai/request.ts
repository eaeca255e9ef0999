import type { z } from "zod";

import type { ChatTask } from "../domain/chat.ts";
import { CodedError } from "../domain/errors.ts";
import { NO_DEFAULTS, type ModelDefaults } from "../domain/model-defaults.ts";
import {
  DEFAULT_SAMPLERS,
  type DryOptions,
  type GenerateRequest,
  type MirostatSettings,
  type SamplingOptions,
} from "../domain/generation.ts";
import { readBody, type schemaOf } from "./body.ts";
import type { Field } from "./field.ts";
import {
  CHAT_FIELDS,
  chatBody,
  DEFAULT_DRY_BASE,
  type CHOICE_FIELDS,
  type REPORT_FIELDS,
  type SHARED_FIELDS,
} from "./fields.ts";
import { toChatMessage, withSystem } from "./messages.ts";
import { toNativeSettings } from "./native-settings.ts";
import { toGrammar } from "./structure.ts";
import { toTools } from "./tools.ts";

const DEFAULT_PING_SECONDS = 15;
const MAX_SEED = 2n ** 64n - 1n;

/** What every generating request says besides its prompt. */
export interface RequestSettings {
  /** Undefined is the served model. */
  readonly model: string | undefined;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  /** Silence in a stream after which a comment is due; undefined is never. */
  readonly pingMs: number | undefined;
  /** Members of the body that had no effect, in the client's spelling. */
  readonly ignored: readonly string[];
}

export interface ChatRequest extends RequestSettings {
  readonly task: ChatTask;
  /** Calls are written as the old `function_call`. */
  readonly oldCalls: boolean;
  readonly returnTokens: boolean;
  /** Members of a whole answer that are wanted; none is all. */
  readonly responseFields: readonly string[];
  /** llama.cpp's echo of all parameters, where a whole answer shall have it. */
  readonly settings?: Readonly<Record<string, unknown>>;
}

type ChatBody = z.output<typeof chatBody>;

/** What a body comes to that a table of fields describes. */
export type BodyOf<Table extends Record<string, Field>> = z.output<z.ZodObject<ReturnType<typeof schemaOf<Table>>>>;
/** What every generating route's fields come to, and of the others' those that shape the text. */
export type SharedBody = BodyOf<typeof SHARED_FIELDS> &
  Partial<
    Pick<BodyOf<typeof CHOICE_FIELDS>, "stop" | "stream_options" | "response_format"> &
      Pick<BodyOf<typeof REPORT_FIELDS>, "timings_per_token" | "return_progress">
  >;

/**
 * Body of POST /v1/chat/completions → what the engine is asked.
 * Errors: `invalid_type`, `invalid_value`, `missing_required_parameter`, `unsupported_value`, `unsupported_parameter`,
 * `invalid_json_schema`, `invalid_grammar`.
 */
export function parseChatRequest(body: unknown, defaults: ModelDefaults = NO_DEFAULTS): ChatRequest {
  const { fields, ignored } = readBody(CHAT_FIELDS, chatBody, body, defaults.sampling);
  const limit = fields.n_predict ?? fields.max_completion_tokens ?? fields.max_tokens;
  const likeliest = toLikeliest(fields);
  if (fields.top_logprobs > 0 && !fields.logprobs) {
    throw new CodedError(
      "invalid_value",
      "Invalid value for 'top_logprobs': expected it only together with 'logprobs': true.",
      { param: "top_logprobs" },
    );
  }
  const { oldCalls, ...tools } = toTools(fields);
  const generate = toTask(fields, fields.n ?? fields.n_cmpl ?? 1, limit);
  return {
    ...toSettings(fields, [...ignoredOf(fields, ignored), ...(fields.stream && fields.verbose ? ["verbose"] : [])]),
    oldCalls,
    returnTokens: fields.return_tokens,
    responseFields: fields.stream ? [] : fields.response_fields,
    ...(fields.verbose && !fields.stream && { settings: toNativeSettings(fields, generate) }),
    task: {
      messages: withSystem(fields.messages.map(toChatMessage), defaults),
      ...tools,
      ...toThinking(fields),
      ending: toEnding(fields),
      generate: {
        ...generate,
        topLogprobs: likeliest,
        ...(likeliest !== undefined && fields.post_sampling_probs && { postSampling: true }),
        ...(fields.return_tokens && { reportIds: true }),
      },
    },
  };
}

/** OpenAI's way to ask for probabilities, or llama.cpp's. */
function toLikeliest(fields: ChatBody): number | undefined {
  if (fields.logprobs) return Math.max(fields.top_logprobs, fields.n_probs);
  return fields.n_probs > 0 ? fields.n_probs : undefined;
}

/** What the template is told: `reasoning_effort` first, the client's own variables above it. */
function toThinking(fields: ChatBody): Pick<ChatTask, "thinking" | "variables"> {
  const { reasoning_effort: effort, chat_template_kwargs: variables } = fields;
  return {
    thinking: fields.reasoning_format,
    variables: {
      ...(effort !== undefined && { reasoning_effort: effort }),
      ...(effort === "none" && { enable_thinking: false }),
      ...variables,
    },
  };
}

/** An assistant's message at the end is gone on with, unless a new answer is asked for. */
function toEnding({
  messages,
  add_generation_prompt: starts,
  continue_final_message: goesOn,
}: ChatBody): ChatTask["ending"] {
  const last = messages.at(-1);
  const canGoOn = last?.role === "assistant" && !last.tool_calls?.length && last.function_call === undefined;
  if (goesOn === true && (starts === true || !canGoOn)) {
    const allowed = starts === true ? "false beside 'add_generation_prompt': true" : "an assistant message at the end";
    throw new CodedError("invalid_value", `Invalid value for 'continue_final_message': expected ${allowed}.`, {
      param: "continue_final_message",
    });
  }
  if (goesOn === true) return "continue";
  if (starts === false) return "nothing";
  return canGoOn && starts === undefined && goesOn === undefined ? "continue" : "answer";
}

/** Streams are sent as they come: no member of theirs can be lifted. */
export function ignoredOf(
  { stream, response_fields: names }: Pick<ChatBody, "stream" | "response_fields">,
  ignored: readonly string[],
): readonly string[] {
  return stream && names.length > 0 ? [...ignored, "response_fields"] : ignored;
}

export function toSettings(fields: SharedBody, ignored: readonly string[]): RequestSettings {
  if (fields.stream_options !== undefined && !fields.stream) {
    throw new CodedError(
      "invalid_value",
      "Invalid value for 'stream_options': expected it only together with 'stream': true.",
      { param: "stream_options" },
    );
  }
  return {
    model: fields.model === "" ? undefined : fields.model,
    stream: fields.stream,
    includeUsage: fields.stream_options?.include_usage ?? false,
    pingMs: toPingMs(fields.sse_ping_interval),
    ignored,
  };
}

/** What is asked of each prompt of a body. `limit`: tokens of each answer, where -1 and undefined are none. */
export function toTask(
  fields: SharedBody,
  choices: number,
  limit: number | undefined,
): Omit<GenerateRequest, "prompt"> {
  return {
    choices,
    maxTokens: limit === -1 ? undefined : limit,
    stop: [fields.stop ?? []].flat().filter((text) => text !== ""),
    grammar: toGrammar(fields),
    sampling: toSampling(fields),
    topLogprobs: undefined,
    ...toControl(fields),
  };
}

/** Only what is asked for: the engine has defaults for the rest. */
function toControl(fields: SharedBody): Partial<GenerateRequest> {
  const { id_slot: slot = fields.slot_id ?? -1, t_max_predict_ms: timeLimitMs = 0, n_indent: leastIndent } = fields;
  return {
    ...(!fields.cache_prompt && { reuse: false }),
    ...(slot >= 0 && { slot }),
    ...toDraft(fields),
    ...(timeLimitMs > 0 && { timeLimitMs }),
    ...(leastIndent > 0 && { leastIndent }),
    ...(fields.timings_per_token === true && { reportTimings: true }),
    ...(fields.return_progress === true && fields.stream && { reportProgress: true }),
  };
}

function toDraft(fields: SharedBody): Pick<GenerateRequest, "draft"> {
  const { "speculative.n_max": most, "speculative.n_min": least } = fields;
  if (most === undefined && least === undefined) return {};
  return { draft: { ...(most !== undefined && { most }), ...(least !== undefined && { least }) } };
}

function toSampling(fields: SharedBody): SamplingOptions {
  return {
    temperature: fields.temperature,
    topK: Math.max(0, fields.top_k),
    topP: fields.top_p,
    minP: fields.min_p,
    repeatPenalty: fields.repeat_penalty,
    repeatLastN: fields.repeat_last_n,
    presencePenalty: fields.presence_penalty,
    frequencyPenalty: fields.frequency_penalty,
    xtcProbability: fields.xtc_probability,
    xtcThreshold: fields.xtc_threshold,
    dry: toDry(fields),
    typicalP: fields.typical_p,
    topNSigma: fields.top_n_sigma,
    dynatempRange: fields.dynatemp_range,
    dynatempExponent: fields.dynatemp_exponent,
    minKeep: fields.min_keep,
    mirostat: toMirostat(fields),
    ...toChain(fields),
    logitBias: fields.logit_bias,
    ignoreEos: fields.ignore_eos,
    seed: toSeed(fields.seed),
  };
}

function toMirostat(fields: SharedBody): MirostatSettings | undefined {
  const { mirostat, mirostat_tau: tau, mirostat_eta: eta } = fields;
  return mirostat === 1 || mirostat === 2 ? { version: mirostat, tau, eta } : undefined;
}

/** A target is enough to turn adaptive-p on; llama.cpp wants it named in the order as well. */
function toChain(fields: SharedBody): Pick<SamplingOptions, "adaptiveP" | "samplers"> {
  const { adaptive_target: target, adaptive_decay: decay, samplers } = fields;
  if (target < 0) return { adaptiveP: undefined, samplers: samplers ?? DEFAULT_SAMPLERS };
  return { adaptiveP: { target, decay }, samplers: samplers ?? [...DEFAULT_SAMPLERS, "adaptive_p"] };
}

function toDry(fields: SharedBody): DryOptions | undefined {
  if (fields.dry_multiplier === 0) return undefined;
  return {
    multiplier: fields.dry_multiplier,
    // As llama.cpp does with a base that would reward repetition.
    base: fields.dry_base < 1 ? DEFAULT_DRY_BASE : fields.dry_base,
    allowedLength: fields.dry_allowed_length,
    lastN: fields.dry_penalty_last_n,
    sequenceBreakers: fields.dry_sequence_breakers,
  };
}

/** Negative seeds are the 64-bit patterns that llama.cpp would see. */
function toSeed(seed: number | undefined): bigint | undefined {
  if (seed === undefined || seed === -1) return undefined;
  if (seed < 0) return BigInt.asUintN(64, BigInt(seed));
  const whole = BigInt(seed);
  // 2^64-1 has no double of its own and arrives as 2^64.
  return whole > MAX_SEED ? MAX_SEED : whole;
}

function toPingMs(seconds: number = DEFAULT_PING_SECONDS): number | undefined {
  return seconds === -1 ? undefined : seconds * 1000;
}
