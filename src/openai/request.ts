import type { z } from "zod";

import type { ChatTask } from "../domain/chat.ts";
import { CodedError } from "../domain/errors.ts";
import {
  DEFAULT_SAMPLERS,
  type DryOptions,
  type GenerateRequest,
  type MirostatSettings,
  type SamplingOptions,
} from "../domain/generation.ts";
import { readBody } from "./body.ts";
import { CHAT_FIELDS, chatBody, DEFAULT_DRY_BASE } from "./fields.ts";
import { toChatMessage } from "./messages.ts";
import { toGrammar } from "./structure.ts";

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
}

type ChatBody = z.output<typeof chatBody>;
/** What the chat route's fields have in common with the other generating routes'. */
export type SharedBody = Omit<
  ChatBody,
  "messages" | "n" | "max_tokens" | "max_completion_tokens" | "logprobs" | "top_logprobs"
>;

/**
 * Body of POST /v1/chat/completions → what the engine is asked.
 * Errors: `invalid_type`, `invalid_value`, `missing_required_parameter`, `unsupported_value`, `unsupported_parameter`,
 * `invalid_json_schema`, `invalid_grammar`.
 */
export function parseChatRequest(body: unknown): ChatRequest {
  const { fields, ignored } = readBody(CHAT_FIELDS, chatBody, body);
  const limit = fields.n_predict ?? fields.max_completion_tokens ?? fields.max_tokens;
  if (fields.top_logprobs > 0 && !fields.logprobs) {
    throw new CodedError(
      "invalid_value",
      "Invalid value for 'top_logprobs': expected it only together with 'logprobs': true.",
      { param: "top_logprobs" },
    );
  }
  const generate = toTask(fields, fields.n ?? fields.n_cmpl ?? 1, limit);
  return {
    ...toSettings(fields, ignored),
    task: {
      messages: fields.messages.map(toChatMessage),
      tools: [],
      toolChoice: { mode: "none" },
      parallelCalls: true,
      thinking: "auto",
      ending: "answer",
      variables: {},
      generate: { ...generate, topLogprobs: fields.logprobs ? fields.top_logprobs : undefined },
    },
  };
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
  };
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
