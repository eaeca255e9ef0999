import type { Token } from "./native.ts";

/** Tokens that have to repeat before what followed them is proposed again. */
const GRAM = 3;
/** Earlier places that are compared; the longest repetition wins. */
const MOST_PLACES = 8;
/** Longer repetitions count as this long. */
const LONGEST = 32;
/** Mixes token numbers into a key; two grams with one key are told apart by comparing them. */
const MIX = 1_000_003;

export interface Repetition {
  /** Tokens at the end that stood at an earlier place too, at least GRAM and at most LONGEST. */
  readonly length: number;
  /** What followed there. */
  readonly following: readonly Token[];
}

/** Finds where the end of a growing list of tokens has stood before, in time that does not depend on its length. */
export class Lookup {
  readonly #tokens: Token[] = [];
  /** Last place after each gram, and before it the one before: 0 ends the chain. */
  readonly #last = new Map<number, number>();
  readonly #earlier: number[] = [0];

  constructor(tokens: Iterable<Token> = []) {
    for (const token of tokens) this.push(token);
  }

  push(token: Token): void {
    this.#tokens.push(token);
    const place = this.#tokens.length;
    if (place < GRAM) {
      this.#earlier.push(0);
      return;
    }
    const key = this.#keyBefore(place);
    this.#earlier.push(this.#last.get(key) ?? 0);
    this.#last.set(key, place);
  }

  /** The longest repetition of the list's end, the latest of equals, with at most `most` tokens after it. */
  find(most: number): Repetition | undefined {
    const end = this.#tokens.length;
    let best = 0;
    let bestPlace = 0;
    let place = this.#earlier[end] ?? 0;
    for (let seen = 0; place > 0 && seen < MOST_PLACES; seen++, place = this.#earlier[place]!) {
      const length = this.#commonBefore(place, end);
      if (length > best) [best, bestPlace] = [length, place];
    }
    if (best < GRAM || most <= 0) return undefined;
    return { length: best, following: this.#following(bestPlace, most) };
  }

  /** A repetition that reaches into itself goes on repeating. */
  #following(place: number, most: number): Token[] {
    const following: Token[] = [];
    const period = this.#tokens.length - place;
    for (let index = 0; index < most; index++) following.push(this.#tokens[place + (index % period)]!);
    return following;
  }

  #commonBefore(place: number, end: number): number {
    let length = 0;
    while (length < LONGEST && length < place && this.#tokens[place - 1 - length] === this.#tokens[end - 1 - length]) {
      length++;
    }
    return length;
  }

  #keyBefore(place: number): number {
    let key = 0;
    for (let index = place - GRAM; index < place; index++) key = (Math.imul(key, MIX) + this.#tokens[index]!) | 0;
    return key;
  }
}
