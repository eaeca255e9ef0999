import { randomBytes } from "node:crypto";

import { CodedError } from "../domain/errors.ts";
import type { SamplingOptions } from "../domain/generation.ts";
import type { NativeSamplerConfig, Token } from "./native.ts";
import type { Vocabulary } from "./vocabulary.ts";

const MASK_64 = (1n << 64n) - 1n;
/** llama.cpp takes this seed for "draw one at random". Source: llama.cpp, include/llama.h, LLAMA_DEFAULT_SEED. */
const RANDOM_SEED = 0xffff_ffff;
const MOST_CANDIDATES = 0x7fff_ffff;

/** A seed of 64 bits for a request that gave none. */
export function randomSeed(): bigint {
  return randomBytes(8).readBigUInt64LE();
}

/**
 * Folds the request's seed (64 bits) and the choice's number into the 32 bits that the native sampler takes, so that
 * every bit of the seed counts and the choices of one request differ. One round of SplitMix64 over both.
 */
export function choiceSeed(seed: bigint, choice: number): number {
  let mixed = (seed + 0x9e37_79b9_7f4a_7c15n * BigInt(choice + 1)) & MASK_64;
  mixed = ((mixed ^ (mixed >> 30n)) * 0xbf58_476d_1ce4_e5b9n) & MASK_64;
  mixed = ((mixed ^ (mixed >> 27n)) * 0x94d0_49bb_1331_11ebn) & MASK_64;
  const folded = Number((mixed ^ (mixed >> 31n)) & 0xffff_ffffn);
  return folded === RANDOM_SEED ? 0 : folded;
}

/** Biases by token. */
export type ResolvedBias = ReadonlyMap<Token, number>;

/**
 * Looks up the tokens of a request's biases.
 * Errors: `invalid_value` for a token that the vocabulary does not have.
 */
export function resolveBias({ logitBias, ignoreEos }: SamplingOptions, vocabulary: Vocabulary): ResolvedBias {
  const resolved = new Map<Token, number>();
  for (const entry of logitBias) {
    if ("text" in entry) {
      for (const token of vocabulary.tokenizeContent(entry.text)) resolved.set(token, entry.bias);
    } else if (entry.token < vocabulary.size) {
      resolved.set(entry.token, entry.bias);
    } else {
      throw new CodedError(
        "invalid_value",
        `Invalid value for 'logit_bias': expected tokens from 0 to ${vocabulary.size - 1}, got ${entry.token}.`,
        { param: "logit_bias" },
      );
    }
  }
  if (ignoreEos) for (const token of vocabulary.endTokens) resolved.set(token, -Infinity);
  return resolved;
}

export interface SamplerInputs {
  readonly seed: number;
  readonly prompt: readonly Token[];
  readonly contextLength: number;
  readonly bias: ResolvedBias;
}

/**
 * The native sampler's settings. A sampler that would do nothing is left out of the chain: an idle top-k over a
 * vocabulary of 152k tokens sorts all of it, 11 ms a token.
 */
export function toSamplerConfig(options: SamplingOptions, inputs: SamplerInputs): NativeSamplerConfig {
  return {
    temperature: options.temperature,
    seed: inputs.seed,
    ...(options.temperature > 0 && toTruncation(options)),
    ...toXtc(options),
    ...toPenalties(options, inputs),
    ...toDry(options, inputs),
    ...toBias(inputs.bias),
  };
}

type PartialConfig = Partial<NativeSamplerConfig>;

function toTruncation({ topK, topP, minP }: SamplingOptions): PartialConfig {
  // The addon cuts numbers to 32 bits; more candidates than any vocabulary has are all of them.
  const limitsCandidates = topK > 0 && topK <= MOST_CANDIDATES;
  return { ...(limitsCandidates && { topK }), ...(topP < 1 && { topP }), ...(minP > 0 && { minP }) };
}

function toXtc({ xtcProbability, xtcThreshold }: SamplingOptions): PartialConfig {
  return xtcProbability > 0 && xtcThreshold <= 0.5 ? { xtcProbability, xtcThreshold } : {};
}

function toPenalties(options: SamplingOptions, { prompt, contextLength }: SamplerInputs): PartialConfig {
  const window = toWindow(options.repeatLastN, contextLength);
  const isOff = options.repeatPenalty === 1 && options.presencePenalty === 0 && options.frequencyPenalty === 0;
  if (window === 0 || isOff) return {};
  return {
    // The prompt's end; sampled tokens are added by the native sampler itself.
    repeatPenaltyTokens: Uint32Array.from(prompt.slice(-window)),
    repeatPenaltyMaxTokens: window,
    repeatPenalty: options.repeatPenalty,
    repeatPenaltyPresencePenalty: options.presencePenalty,
    repeatPenaltyFrequencyPenalty: options.frequencyPenalty,
  };
}

/** Samplers reserve memory for the whole window, and no sequence holds more tokens than the context. */
function toWindow(tokens: number, contextLength: number): number {
  return tokens < 0 ? contextLength : Math.min(tokens, contextLength);
}

function toDry({ dry }: SamplingOptions, { contextLength }: SamplerInputs): PartialConfig {
  if (dry === undefined || dry.multiplier === 0 || dry.lastN === 0) return {};
  return {
    dryRepeatPenaltyStrength: dry.multiplier,
    dryRepeatPenaltyBase: dry.base,
    dryRepeatPenaltyAllowedLength: toWindow(dry.allowedLength, contextLength),
    dryRepeatPenaltyLastTokens: toWindow(dry.lastN, contextLength),
    dryRepeatPenaltySequenceBreakers: dry.sequenceBreakers,
  };
}

function toBias(bias: ResolvedBias): PartialConfig {
  if (bias.size === 0) return {};
  return { tokenBiasKeys: Uint32Array.from(bias.keys()), tokenBiasValues: Float32Array.from(bias.values()) };
}
