import type { LikelyToken, TokenChance } from "../domain/generation.ts";
import { toLogprob } from "./logprobs.ts";

/**
 * llama.cpp's `completion_probabilities`. `postSampling`: as the samplers leave them, which is told as probabilities;
 * what cannot be is then left out.
 */
export function toProbabilities(tokens: readonly TokenChance[], postSampling: boolean): object[] {
  return tokens.map((token) =>
    postSampling
      ? { ...toProbability(token), top_probs: token.top.map(toProbability).filter(({ prob }) => prob > 0) }
      : { ...toEntry(token), top_logprobs: token.top.map(toEntry) },
  );
}

function toEntry({ id, text, bytes, logprob }: LikelyToken) {
  return { id, token: text, bytes, logprob: toLogprob(logprob) };
}

function toProbability({ id, text, bytes, logprob }: LikelyToken) {
  return { id, token: text, bytes, prob: Math.min(Math.exp(logprob), 1) };
}
