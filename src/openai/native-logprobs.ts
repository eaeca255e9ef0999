import type { LikelyToken, TokenChance } from "../domain/generation.ts";
import { toLogprob, toProbability } from "./logprobs.ts";

/**
 * llama.cpp's `completion_probabilities`. `postSampling`: as the samplers leave them, which is told as probabilities;
 * what cannot be is then left out.
 */
export function toProbabilities(tokens: readonly TokenChance[], postSampling: boolean): object[] {
  return tokens.map((token) =>
    postSampling
      ? { ...toChance(token), top_probs: token.top.map(toChance).filter(({ prob }) => prob > 0) }
      : { ...toEntry(token), top_logprobs: token.top.map(toEntry) },
  );
}

function toEntry({ id, text, bytes, logprob }: LikelyToken) {
  return { id, token: text, bytes, logprob: toLogprob(logprob) };
}

function toChance({ id, text, bytes, logprob }: LikelyToken) {
  return { id, token: text, bytes, prob: toProbability(logprob) };
}
