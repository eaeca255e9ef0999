/** Mirostat (Basu et al., 2021): holds the mean surprise of the answer's tokens at a target, in bits. */
import type { Candidates } from "./candidates.ts";
import { ListTooShort, sum } from "./candidates.ts";

export interface MirostatOptions {
  readonly version: 1 | 2;
  /** Target surprise in bits. */
  readonly tau: number;
  /** Learning rate. */
  readonly eta: number;
  readonly vocabularySize: number;
}

/** Probabilities from which version 1 estimates the exponent of the distribution. */
const ESTIMATED_FROM = 100;
/** What of the mass may be unknown where nothing of it is cut. */
const LEAST_KNOWN = 1 - 1e-3;

export class Mirostat {
  readonly #options: MirostatOptions;
  /** The largest surprise that a candidate may have. */
  #mu: number;
  #nextMu: number | undefined;

  constructor(options: MirostatOptions) {
    this.#options = options;
    this.#mu = 2 * options.tau;
  }

  /** The index of the choice. The state stays as it is until `commit`. */
  choose(list: Candidates, uniform: number): number {
    if (this.#options.version === 1) this.#cutByRank(list);
    else this.#cutBySurprise(list);
    const index = list.draw(uniform);
    const surprise = -Math.log2(list.probabilities()[index]!);
    this.#nextMu = this.#mu - this.#options.eta * (surprise - this.#options.tau);
    return index;
  }

  /** The last choice holds. */
  commit(): void {
    this.#mu = this.#nextMu ?? this.#mu;
    this.#nextMu = undefined;
  }

  /** Version 1: as many as a Zipf distribution with the estimated exponent would need for the surprise. */
  #cutByRank(list: Candidates): void {
    const { logits } = list;
    if (logits.length < 2) return;
    if (!list.isWhole && list.ordered < ESTIMATED_FROM) throw new ListTooShort();
    let products = 0;
    let squares = 0;
    for (let index = 0; index < Math.min(ESTIMATED_FROM, logits.length) - 1; index++) {
      if (logits[index + 1] === -Infinity) break;
      const step = Math.log((index + 2) / (index + 1));
      products += step * (logits[index]! - logits[index + 1]!);
      squares += step * step;
    }
    const exponent = products / squares;
    const excess = exponent - 1;
    const k = ((excess * 2 ** this.#mu) / (1 - this.#options.vocabularySize ** -excess)) ** (1 / exponent);
    // A flat list has no exponent: everything stays.
    const count = Number.isNaN(k) ? Infinity : Math.max(Math.trunc(k), 1);
    if (count < list.length) list.cut(count);
    else requireNearlyWhole(list);
  }

  /** Version 2: all whose surprise is at most mu, over the whole vocabulary. */
  #cutBySurprise(list: Candidates): void {
    const probabilities = list.probabilities();
    let count = 0;
    while (count < list.length && -Math.log2(probabilities[count]!) <= this.#mu) count++;
    if (count < list.length) list.cut(Math.max(count, 1));
    else requireNearlyWhole(list);
  }
}

/**
 * Where a model surprises less than the target, the bound grows until nothing is cut. Whether the tokens beyond the list
 * are cut is then of no weight: they count as candidates, and a draw that falls among them reads a longer list.
 */
function requireNearlyWhole(list: Candidates): void {
  if (list.isWhole) return;
  if (list.ordered < list.length || sum(list.probabilities()) < LEAST_KNOWN) throw new ListTooShort();
}
