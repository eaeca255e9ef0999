import type { Token } from "../native.ts";

// Source: llama.cpp, src/llama-sampler.cpp, llama_sampler_init_dry.
const LONGEST_BREAKER = 40;
const LONGEST_TAIL = 20;

const LISTS_KEPT = 8;

export type Breakers = ReadonlyMap<Token, readonly (readonly Token[])[]>;

/** The breakers of the last few lists that requests gave: most give the default one. */
export class BreakerCache {
  readonly #find: (breakers: readonly string[]) => Breakers;
  readonly #found = new Map<string, Breakers>();

  constructor(find: (breakers: readonly string[]) => Breakers) {
    this.#find = find;
  }

  get(breakers: readonly string[]): Breakers {
    const key = JSON.stringify(breakers);
    const found = this.#found.get(key) ?? this.#find(breakers);
    // The last one used goes to the end.
    this.#found.delete(key);
    this.#found.set(key, found);
    for (const oldest of this.#found.keys()) {
      if (this.#found.size <= LISTS_KEPT) break;
      this.#found.delete(oldest);
    }
    return found;
  }
}

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
    const first = breaker[0]!;
    for (let token = 0; token < texts.length; token++) {
      const text = texts[token]!;
      // Most tokens end the search here: one request may name many breakers, and a vocabulary has 152k tokens.
      if (!text.includes(first)) continue;
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
