import type { ChatUsage } from "../domain/chat.ts";
import type { Timings, Usage } from "../domain/generation.ts";

export function toUsage(usage: Usage | ChatUsage) {
  const { promptTokens, cachedTokens, completionTokens } = usage;
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: "thinkingTokens" in usage ? usage.thinkingTokens : 0,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  };
}

/** llama.cpp's member. The two of drafts are there when tokens were guessed ahead. */
export function toTimings(timings: Timings) {
  const { cachedTokens, promptTokens, promptMs, predictedTokens, predictedMs } = timings;
  const { draftedTokens = 0, acceptedTokens = 0 } = timings;
  return {
    cache_n: cachedTokens,
    prompt_n: promptTokens,
    prompt_ms: promptMs,
    prompt_per_token_ms: rate(promptMs, promptTokens),
    prompt_per_second: rate(promptTokens * 1000, promptMs),
    predicted_n: predictedTokens,
    predicted_ms: predictedMs,
    predicted_per_token_ms: rate(predictedMs, predictedTokens),
    predicted_per_second: rate(predictedTokens * 1000, predictedMs),
    ...(draftedTokens > 0 && { draft_n: draftedTokens, draft_n_accepted: acceptedTokens }),
  };
}

/** A rate of nothing, or in no time, is 0: JSON has no infinity. */
function rate(amount: number, per: number): number {
  return per > 0 ? amount / per : 0;
}
