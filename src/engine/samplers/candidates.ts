import type { Token } from "../native.ts";

/** The list ends too early to decide; the caller repeats the step with a longer one. */
export class ListTooShort extends Error {}

/** What is known of the tokens that a list leaves out: the logarithm of their summed weights at a temperature. */
export interface Rest {
  readonly temperature: number;
  readonly logWeight: number;
}

/**
 * The likeliest tokens in falling order. A list may be the beginning of a longer one: what depends on the part that is
 * not there throws `ListTooShort`, so that a short list never changes a result, only what it costs.
 */
export class Candidates {
  tokens: Uint32Array;
  logits: Float64Array;
  /** All plain temperatures so far: the logits were divided by it. */
  temperature = 1;
  #isWhole: boolean;
  readonly #rest: Rest | undefined;
  /** No token that is left out has a higher logit, at temperature 1. */
  readonly #floor: number;

  /** `rest`: undefined where the weight of what is left out is not known; `isWhole`: nothing is left out. */
  constructor(tokens: Uint32Array, logits: Float64Array, isWhole: boolean, rest?: Rest) {
    this.tokens = tokens;
    this.logits = logits;
    this.#isWhole = isWhole;
    this.#rest = rest;
    this.#floor = logits[logits.length - 1] ?? 0;
  }

  get length(): number {
    return this.tokens.length;
  }

  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** Beginning of the list that is in its final order: penalties may have put tokens below some that are left out. */
  get ordered(): number {
    if (this.#isWhole) return this.length;
    const floor = this.#floor / this.temperature;
    let count = this.length;
    while (count > 0 && this.logits[count - 1]! < floor) count--;
    return count;
  }

  requireWhole(): void {
    if (!this.#isWhole) throw new ListTooShort();
  }

  /** Keeps the first `count`; what was left out before is then cut for good. */
  cut(count: number): void {
    if (count > this.ordered) throw new ListTooShort();
    this.#take(this.tokens.subarray(0, count), this.logits.subarray(0, count));
  }

  /** Keeps some of a whole list. */
  keep(indices: readonly number[]): void {
    this.#take(
      Uint32Array.from(indices, (index) => this.tokens[index]!),
      Float64Array.from(indices, (index) => this.logits[index]!),
    );
  }

  /** Drops the first `count`; what is left out stays so. */
  dropBest(count: number): void {
    this.tokens = this.tokens.subarray(count);
    this.logits = this.logits.subarray(count);
  }

  /** Drops tokens; what is left out stays so. */
  remove(isGone: (token: Token) => boolean): void {
    const left = Array.from(this.tokens.keys()).filter((index) => !isGone(this.tokens[index]!));
    this.tokens = Uint32Array.from(left, (index) => this.tokens[index]!);
    this.logits = Float64Array.from(left, (index) => this.logits[index]!);
  }

  divide(temperature: number): void {
    this.logits = this.logits.map((logit) => logit / temperature);
    this.temperature *= temperature;
  }

  /** Changes logits one by one, then restores the order. */
  change(logitOf: (token: Token, logit: number) => number): void {
    const { tokens } = this;
    const logits = this.logits.map((logit, index) => logitOf(tokens[index]!, logit));
    const order = Array.from(logits.keys()).sort((a, b) => logits[b]! - logits[a]! || a - b);
    this.tokens = Uint32Array.from(order, (index) => tokens[index]!);
    this.logits = Float64Array.from(order, (index) => logits[index]!);
  }

  /** Probabilities of the list; what is left out takes its share. */
  probabilities(): Float64Array {
    const weights = this.#weights();
    const total = sum(weights) + this.#restWeight();
    return weights.map((weight) => weight / total);
  }

  /** The index that a uniform number in [0, 1) falls on. */
  draw(uniform: number): number {
    const weights = this.#weights();
    const target = uniform * (sum(weights) + this.#restWeight());
    const { ordered } = this;
    let reached = 0;
    for (let index = 0; index < ordered; index++) {
      reached += weights[index]!;
      if (target < reached) return index;
    }
    if (!this.#isWhole) throw new ListTooShort();
    return this.length - 1;
  }

  #take(tokens: Uint32Array, logits: Float64Array): void {
    this.tokens = tokens;
    this.logits = logits;
    this.#isWhole = true;
  }

  /** Relative to the first. */
  #weights(): Float64Array {
    const best = this.logits[0]!;
    return this.logits.map((logit) => Math.exp(logit - best));
  }

  #restWeight(): number {
    if (this.#isWhole) return 0;
    if (this.#rest === undefined || this.#rest.temperature !== this.temperature) throw new ListTooShort();
    return Math.exp(this.#rest.logWeight - this.logits[0]!);
  }
}

export function sum(values: Float64Array): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
