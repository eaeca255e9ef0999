import { randomBytes } from "node:crypto";

import type { SamplingOptions } from "../domain/generation.ts";
import type { Native, NativeModel, NativeSamplerConfig, Token } from "./native.ts";
import { ComputedDraw, type ComputedInputs } from "./computed-draw.ts";
import type { Constraint } from "./constraint.ts";
import { ForcedDraw, ForcedTokens } from "./forced.ts";
import { constrainBias } from "./grammars.ts";
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

export interface SamplerParts {
  readonly native: Native;
  readonly model: NativeModel;
  readonly vocabulary: Vocabulary;
  /** Tokens that a grammar may not use; see `Grammars.forbidden`. */
  readonly forbidden: readonly Token[];
}

/** What else an answer's sampler has to mind. */
export interface SamplerDuties {
  readonly constraint: Constraint | undefined;
  /** Of the constraint's grammar; see `alphabetOf`. */
  readonly alphabet: readonly number[];
  /** Told what the samplers left of each row. */
  readonly onDrawn: ComputedInputs["onDrawn"];
}

/**
 * What samples an answer: the native chain where it can do all that is asked, a grammar from the first token on included;
 * the one computed here where it cannot, where a grammar sleeps, and where what the samplers leave is to be reported.
 */
export function createSampler(
  parts: SamplerParts,
  options: SamplingOptions,
  inputs: SamplerInputs,
  duties: SamplerDuties,
): Sampler {
  const { native, model, vocabulary, forbidden } = parts;
  const { constraint, onDrawn } = duties;
  const governed = constraint === undefined ? inputs.bias : constrainBias(inputs.bias, forbidden, vocabulary.endTokens);
  if (onDrawn === undefined && isNative(options) && constraint?.isWhole !== false) {
    const config = toSamplerConfig(options, { ...inputs, bias: governed });
    const grammar = constraint?.state;
    const draw = new NativeDraw(
      native.createSampler(model, { ...config, ...(grammar && { grammarEvaluationState: grammar }) }),
    );
    // The native chain's memory of tokens cannot be told of one that it has not drawn.
    const remembers = activeSamplers(options).some((name) => name === "penalties" || name === "dry");
    return remembers ? draw : withForced(draw, parts, options, duties, (token) => constraint?.accept(token));
  }
  const draw = new ComputedDraw(native, model, options, {
    ...inputs,
    vocabularySize: vocabulary.size,
    bias: toBias(inputs.bias),
    governedBias: toBias(governed),
    constraint,
    ...(onDrawn !== undefined && { onDrawn }),
    isEndToken: (token) => model.isEogToken(token),
    dry: activeSamplers(options).includes("dry") ? toDrySettings(options, inputs, vocabulary) : undefined,
  });
  return withForced(draw, parts, options, duties, (token) => draw.tell(token));
}

/** What a grammar forces is taken without a draw, unless biases ask for other tokens than the tokenizer's. */
function withForced(
  draw: Sampler,
  { native, model, vocabulary }: SamplerParts,
  { logitBias }: SamplingOptions,
  { constraint, alphabet }: SamplerDuties,
  tell: (token: Token) => void,
): Sampler {
  if (constraint === undefined || logitBias.length > 0) return draw;
  const forced = new ForcedTokens({ native, constraint, alphabet, vocabulary });
  return new ForcedDraw(draw, forced, (token) => {
    if (!model.isEogToken(token)) tell(token);
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
