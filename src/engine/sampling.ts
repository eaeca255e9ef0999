import { randomBytes } from "node:crypto";

import { CodedError } from "../domain/errors.ts";
import type { SamplingOptions } from "../domain/generation.ts";
import type { Native, NativeGrammarState, NativeModel, NativeSamplerConfig, Token } from "./native.ts";
import { ComputedDraw } from "./computed-draw.ts";
import { NativeDraw, type Sampler } from "./sampler.ts";
import { activeSamplers, toWindow } from "./samplers/chain.ts";
import type { DrySettings } from "./samplers/dry.ts";
import { isGreedy, isNative } from "./samplers/plan.ts";
import { mix64 } from "./samplers/random.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** llama.cpp takes this seed for "draw one at random". Source: llama.cpp, include/llama.h, LLAMA_DEFAULT_SEED. */
const RANDOM_SEED = 0xffff_ffff;

/** A seed of 64 bits for a request that gave none. */
export function randomSeed(): bigint {
  return randomBytes(8).readBigUInt64LE();
}

/** The choices of one request differ, and every bit of its seed counts. */
export function choiceSeed(seed: bigint, choice: number): bigint {
  return mix64(seed + 0x9e37_79b9_7f4a_7c15n * BigInt(choice + 1));
}

/** Folds a choice's seed into the 32 bits that the native sampler takes. */
function toNativeSeed(seed: bigint): number {
  const folded = Number(seed & 0xffff_ffffn);
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
    } else {
      vocabulary.refuseUnknown([entry.token], "logit_bias");
      resolved.set(entry.token, entry.bias);
    }
  }
  if (ignoreEos) for (const token of vocabulary.endTokens) resolved.set(token, -Infinity);
  return resolved;
}

export interface SamplerInputs {
  readonly seed: bigint;
  readonly prompt: readonly Token[];
  readonly contextLength: number;
  readonly bias: ResolvedBias;
}

/** Errors: `unsupported_parameter` where a grammar would have to hold what the native chain does not draw. */
export function refuseGrammarBeside(options: SamplingOptions): void {
  if (isNative(options)) return;
  throw new CodedError(
    "unsupported_parameter",
    "Unsupported parameter 'samplers': with a grammar or a schema, only llama.cpp's usual samplers in their usual order " +
      "work yet. Leave out mirostat, typical_p, top_n_sigma, dynatemp_range, adaptive_target, min_keep and samplers.",
    { param: options.mirostat === undefined ? "samplers" : "mirostat" },
  );
}

/**
 * What samples an answer: the native chain where it can, the one computed here where it cannot. A grammar is held by
 * the native chain alone.
 */
export function createSampler(
  { native, model, vocabulary }: { native: Native; model: NativeModel; vocabulary: Vocabulary },
  options: SamplingOptions,
  inputs: SamplerInputs,
  grammar: NativeGrammarState | undefined,
): Sampler {
  if (isNative(options)) {
    const config = toSamplerConfig(options, inputs);
    const held = grammar === undefined ? config : { ...config, grammarEvaluationState: grammar };
    return new NativeDraw(native.createSampler(model, held));
  }
  return new ComputedDraw(native, model, options, {
    ...inputs,
    vocabularySize: vocabulary.size,
    bias: toBias(inputs.bias),
    dry: activeSamplers(options).includes("dry") ? toDrySettings(options, inputs, vocabulary) : undefined,
  });
}

/**
 * The native sampler's settings. A sampler that would do nothing is left out of the chain: an idle top-k over a
 * vocabulary of 152k tokens sorts all of it, 11 ms a token.
 */
export function toSamplerConfig(options: SamplingOptions, inputs: SamplerInputs): NativeSamplerConfig {
  const active = new Set(activeSamplers(options));
  const greedy = isGreedy(options);
  return {
    // Left out of the chain, it changes nothing.
    temperature: active.has("temperature") ? options.temperature : 1,
    seed: toNativeSeed(inputs.seed),
    ...(!greedy && active.has("top_k") && { topK: options.topK }),
    ...(!greedy && active.has("top_p") && { topP: options.topP }),
    ...(!greedy && active.has("min_p") && { minP: options.minP }),
    ...(active.has("xtc") && { xtcProbability: options.xtcProbability, xtcThreshold: options.xtcThreshold }),
    ...(active.has("penalties") && toPenalties(options, inputs)),
    ...(active.has("dry") && toDry(options, inputs)),
    ...toBias(inputs.bias),
  };
}

function toDrySettings(
  { dry }: SamplingOptions,
  { contextLength }: SamplerInputs,
  vocabulary: Vocabulary,
): DrySettings | undefined {
  if (dry === undefined) return undefined;
  const { multiplier, base } = dry;
  const allowedLength = toWindow(dry.allowedLength, contextLength);
  const window = toWindow(dry.lastN, contextLength);
  return { multiplier, base, allowedLength, window, breakers: vocabulary.breakersOf(dry.sequenceBreakers) };
}

type PartialConfig = Partial<NativeSamplerConfig>;

function toPenalties(options: SamplingOptions, { prompt, contextLength }: SamplerInputs): PartialConfig {
  const window = toWindow(options.repeatLastN, contextLength);
  return {
    // The prompt's end; sampled tokens are added by the native sampler itself.
    repeatPenaltyTokens: Uint32Array.from(prompt.slice(-window)),
    repeatPenaltyMaxTokens: window,
    repeatPenalty: options.repeatPenalty,
    repeatPenaltyPresencePenalty: options.presencePenalty,
    repeatPenaltyFrequencyPenalty: options.frequencyPenalty,
  };
}

function toDry({ dry }: SamplingOptions, { contextLength }: SamplerInputs): PartialConfig {
  if (dry === undefined) return {};
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
