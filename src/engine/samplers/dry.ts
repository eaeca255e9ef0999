import type { Token } from "../native.ts";
import type { Breakers } from "./breakers.ts";
import type { Candidates } from "./candidates.ts";

export interface DrySettings {
  readonly multiplier: number;
  readonly base: number;
  readonly allowedLength: number;
  /** Tokens of the answer that are searched. */
  readonly window: number;
  /** For each token that may begin a breaker, the tokens that must follow it; an empty list where it is one alone. */
  readonly breakers: Breakers;
}

/** A token that is penalized more than this could not be told from one that is forbidden. */
const LARGEST_EXPONENT_LOG = 88.7228391;

function mostExponentOf(base: number): number {
  return base > 1.000001 ? Math.floor(LARGEST_EXPONENT_LOG / Math.log(base)) : 0;
}

/** "Don't repeat yourself": a token that would go on with a longer repetition is penalized exponentially. */
export class Dry {
  readonly #settings: DrySettings;
  readonly #answer: Token[] = [];

  constructor(settings: DrySettings) {
    this.#settings = settings;
  }

  accept(token: Token): void {
    this.#answer.push(token);
    if (this.#answer.length > this.#settings.window) this.#answer.shift();
  }

  apply(list: Candidates): void {
    const lengths = this.#repetitions();
    if (lengths.size === 0) return;
    const { multiplier, base, allowedLength, breakers } = this.#settings;
    const mostExponent = mostExponentOf(base);
    list.change((token, logit) => {
      const length = lengths.get(token);
      if (length === undefined || breakers.get(token)?.some((tail) => tail.length === 0) === true) return logit;
      const exponent = length - allowedLength;
      return logit - multiplier * base ** (mostExponent > 0 ? Math.min(exponent, mostExponent) : exponent);
    });
  }

  /** For each token that followed an earlier occurrence of the answer's end: the longest such end. */
  #repetitions(): Map<Token, number> {
    const answer = this.#answer;
    const lengths = new Map<Token, number>();
    // Beyond the largest exponent the penalty grows no more, and an answer of one token again and again stays cheap.
    const most = this.#settings.allowedLength + mostExponentOf(this.#settings.base);
    const limit = Math.min(this.#tokensSinceBreaker(), most);
    const { allowedLength } = this.#settings;
    if (answer.length <= allowedLength || limit < allowedLength) return lengths;
    for (let at = 0; at < answer.length - 1; at++) {
      let length = 0;
      while (length < limit && length <= at && answer[at - length] === answer[answer.length - 1 - length]) length++;
      const token = answer[at + 1]!;
      // A repetition of length 0 counts where that much is not allowed, as in llama.cpp.
      if (length >= allowedLength && length > (lengths.get(token) ?? -1)) lengths.set(token, length);
    }
    return lengths;
  }

  #tokensSinceBreaker(): number {
    const answer = this.#answer;
    for (let back = 0; back < answer.length; back++) {
      const head = answer.length - 1 - back;
      let longest = -1;
      for (const tail of this.#settings.breakers.get(answer[head]!) ?? []) {
        if (tail.length > back || tail.length <= longest) continue;
        if (tail.every((token, index) => answer[head + 1 + index] === token)) longest = tail.length;
      }
      if (longest >= 0) return back - longest;
    }
    return answer.length;
  }
}
