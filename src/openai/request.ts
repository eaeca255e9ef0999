import type { z } from "zod";

import { CodedError } from "../domain/errors.ts";
import type { DryOptions, GenerateRequest, SamplingOptions } from "../domain/generation.ts";
import { CHAT_FIELDS, chatBody, DEFAULT_DRY_BASE, type Field } from "./fields.ts";
import { toChatMessage } from "./messages.ts";
import { toRefusal } from "./refusal.ts";
import { toGrammar } from "./structure.ts";

const DEFAULT_PING_SECONDS = 15;
const MAX_SEED = 2n ** 64n - 1n;

export interface ChatRequest {
  /** Undefined is the served model. */
  readonly model: string | undefined;
  readonly generate: GenerateRequest;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  /** Silence in a stream after which a comment is due; undefined is never. */
  readonly pingMs: number | undefined;
  /** Members of the body that had no effect, in the client's spelling. */
  readonly ignored: readonly string[];
}

/**
 * Body of POST /v1/chat/completions → what the engine is asked.
 * Errors: `invalid_type`, `invalid_value`, `missing_required_parameter`, `unsupported_value`, `unsupported_parameter`,
 * `invalid_json_schema`.
 */
export function parseChatRequest(body: unknown): ChatRequest {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new CodedError("invalid_type", "Invalid type for the body: expected a JSON object.");
  }
  const { known, ignored } = sortMembers(body);
  const result = chatBody.safeParse(known);
  if (!result.success) throw toRefusal(known, result.error.issues[0]!);
  const fields = result.data;
  if (fields.stream_options !== undefined && !fields.stream) {
    throw new CodedError(
      "invalid_value",
      "Invalid value for 'stream_options': expected it only together with 'stream': true.",
      { param: "stream_options" },
    );
  }
  return {
    model: fields.model === "" ? undefined : fields.model,
    generate: {
      prompt: { kind: "chat", messages: fields.messages.map(toChatMessage) },
      choices: fields.n ?? fields.n_cmpl ?? 1,
      maxTokens: toTokenLimit(fields.n_predict ?? fields.max_completion_tokens ?? fields.max_tokens),
      stop: [fields.stop ?? []].flat().filter((text) => text !== ""),
      grammar: toGrammar(fields),
      sampling: toSampling(fields),
    },
    stream: fields.stream,
    includeUsage: fields.stream_options?.include_usage ?? false,
    pingMs: toPingMs(fields.sse_ping_interval),
    ignored,
  };
}

/** Members set to null are absent. Names like `__proto__` are unknown like any other. */
function sortMembers(body: object): { known: Record<string, unknown>; ignored: string[] } {
  const known: Record<string, unknown> = {};
  const ignored: string[] = [];
  for (const [name, value] of Object.entries(body)) {
    if (value === null) continue;
    const field = fieldNamed(name);
    if (field !== undefined) known[name] = value;
    if (field === undefined || (field.use === "ignored" && !isOff(name, value))) ignored.push(name);
  }
  return { known, ignored };
}

function fieldNamed(name: string): Field | undefined {
  return Object.hasOwn(CHAT_FIELDS, name) ? CHAT_FIELDS[name as keyof typeof CHAT_FIELDS] : undefined;
}

/** `tfs_z: 1` asks for nothing, so nothing was ignored. */
function isOff(name: string, value: unknown): boolean {
  return name === "tfs_z" && value === 1;
}

function toSampling(fields: z.output<typeof chatBody>): SamplingOptions {
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
    logitBias: fields.logit_bias,
    ignoreEos: fields.ignore_eos,
    seed: toSeed(fields.seed),
  };
}

function toDry(fields: z.output<typeof chatBody>): DryOptions | undefined {
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

function toTokenLimit(tokens: number | undefined): number | undefined {
  return tokens === -1 ? undefined : tokens;
}

function toPingMs(seconds: number = DEFAULT_PING_SECONDS): number | undefined {
  return seconds === -1 ? undefined : seconds * 1000;
}
