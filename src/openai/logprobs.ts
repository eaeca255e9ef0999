import type { LikelyToken, TokenChance } from "../domain/generation.ts";

/** What OpenAI sends for a token that cannot be. */
const NEVER = -9999;

/** `choice.logprobs` of an answer, or of a piece of one. */
export function toLogprobs(tokens: readonly TokenChance[]): Record<string, unknown> {
  return {
    content: tokens.map((token) => ({ ...toEntry(token), top_logprobs: token.top.map(toEntry) })),
    refusal: null,
  };
}

function toEntry({ text, bytes, logprob }: LikelyToken): Record<string, unknown> {
  return { token: text, logprob: toLogprob(logprob), bytes };
}

/** JSON has no infinity, and rounding must not make more than a certainty. */
export function toLogprob(logprob: number): number {
  return Number.isFinite(logprob) ? Math.min(logprob, 0) : NEVER;
}
