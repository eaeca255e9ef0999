import type { Token } from "../native.ts";

// Source: llama.cpp, src/llama-sampler.cpp, llama_sampler_init_dry.
const LONGEST_BREAKER = 40;
const LONGEST_TAIL = 20;

/**
 * The tokens with which a breaker's text may begin, each with the tokens that complete it: none where the token holds
 * all of the text.
 */
export function findBreakers(
  texts: readonly string[],
  breakers: readonly string[],
  tokenize: (text: string) => readonly Token[],
): Map<Token, readonly (readonly Token[])[]> {
  const found = new Map<Token, (readonly Token[])[]>();
  for (const breaker of breakers.map((text) => text.slice(0, LONGEST_BREAKER)).filter((text) => text !== "")) {
    for (const [token, text] of texts.entries()) {
      const tails = tailsAfter(text, breaker).map((tail) => (tail === "" ? [] : tokenize(tail).slice(0, LONGEST_TAIL)));
      if (tails.length > 0) found.set(token, [...(found.get(token) ?? []), ...tails]);
    }
  }
  return found;
}

/** What is missing of the breaker after each end of the text that begins it. */
function tailsAfter(text: string, breaker: string): string[] {
  if (text.includes(breaker)) return [""];
  const tails: string[] = [];
  for (let length = Math.min(text.length, breaker.length - 1); length > 0; length--) {
    if (text.endsWith(breaker.slice(0, length))) tails.push(breaker.slice(length));
  }
  return tails;
}
