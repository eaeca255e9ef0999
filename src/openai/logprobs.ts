import type { LikelyToken, TokenChance } from "../domain/generation.ts";

/** What OpenAI sends for a token that cannot be. */
const NEVER = -9999;

/**
 * `choice.logprobs` of an answer, or of a piece of one. `postSampling`: as the samplers leave them, under llama.cpp's
 * names for that; what cannot be is then left out.
 */
export function toLogprobs(tokens: readonly TokenChance[], postSampling = false): Record<string, unknown> {
  return {
    content: tokens.map((token) =>
      postSampling
        ? { ...toChance(token), top_probs: token.top.map(toChance).filter(({ prob }) => prob > 0) }
        : { ...toEntry(token), top_logprobs: token.top.map(toEntry) },
    ),
    refusal: null,
  };
}

function toChance({ text, bytes, logprob }: LikelyToken) {
  return { token: text, prob: toProbability(logprob), bytes };
}

/** Rounding must not make more than a certainty. */
export function toProbability(logprob: number): number {
  return Math.min(Math.exp(logprob), 1);
}

function toEntry({ text, bytes, logprob }: LikelyToken): Record<string, unknown> {
  return { token: text, logprob: toLogprob(logprob), bytes };
}

/** JSON has no infinity, and rounding must not make more than a certainty. */
export function toLogprob(logprob: number): number {
  return Number.isFinite(logprob) ? Math.min(logprob, 0) : NEVER;
}
