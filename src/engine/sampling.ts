import { randomBytes } from "node:crypto";

import type { SamplingOptions } from "../domain/generation.ts";
import type { NativeSamplerConfig, Token } from "./native.ts";

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

/**
 * The native sampler's settings. A sampler that would do nothing is left out of the chain: an idle top-k over a
 * vocabulary of 152k tokens sorts all of it, 11 ms a token.
 */
export function toSamplerConfig(
  options: SamplingOptions,
  seed: number,
  prompt: readonly Token[],
  contextLength: number,
): NativeSamplerConfig {
  const config: NativeSamplerConfig = { temperature: options.temperature, seed };
  if (options.temperature > 0) {
    // The addon cuts numbers to 32 bits; more candidates than any vocabulary has are all of them.
    if (options.topK > 0 && options.topK <= MOST_CANDIDATES) config.topK = options.topK;
    if (options.topP < 1) config.topP = options.topP;
    if (options.minP > 0) config.minP = options.minP;
  }
  // The sampler reserves memory for the whole window, and no sequence holds more tokens than the context.
  const window = options.repeatLastN < 0 ? contextLength : Math.min(options.repeatLastN, contextLength);
  const penalizes = options.repeatPenalty !== 1 || options.presencePenalty !== 0 || options.frequencyPenalty !== 0;
  if (window > 0 && penalizes) {
    // The prompt's end; sampled tokens are added by the native sampler itself.
    config.repeatPenaltyTokens = Uint32Array.from(prompt.slice(-window));
    config.repeatPenaltyMaxTokens = window;
    config.repeatPenalty = options.repeatPenalty;
    config.repeatPenaltyPresencePenalty = options.presencePenalty;
    config.repeatPenaltyFrequencyPenalty = options.frequencyPenalty;
  }
  return config;
}
