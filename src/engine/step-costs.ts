/** Weight of the newest measurement. */
const NEWEST = 0.2;
/** Of a token's own time in a pass, before anything is measured. */
const FIRST_SHARE = 0.3;
/** A pass that is this much slower than usual was disturbed. */
const OUTLIER = 4;

/**
 * How long a step takes, learnt from those that were. llama.cpp computes the same number of tokens of each sequence in
 * one pass over the weights, so sequences with more tokens than others cost a further pass.
 */
export class StepCosts {
  /** Milliseconds of a pass of one token; undefined before the first. */
  #single: number | undefined;
  /** Milliseconds that each further token adds. */
  #further: number | undefined;

  /** Milliseconds of a batch with so many tokens of each sequence, relative where nothing was measured yet. */
  of(sizes: readonly number[]): number {
    const single = this.#single ?? 1;
    const further = this.#further ?? single * FIRST_SHARE;
    const tokens = sizes.reduce((sum, size) => sum + size, 0);
    return passesOf(sizes) * (single - further) + tokens * further;
  }

  learn(sizes: readonly number[], milliseconds: number): void {
    const tokens = sizes.reduce((sum, size) => sum + size, 0);
    if (tokens === 0) return;
    if (tokens === 1) {
      if (this.#single !== undefined && milliseconds > OUTLIER * this.#single) milliseconds = OUTLIER * this.#single;
      this.#single = blend(this.#single, milliseconds);
      return;
    }
    if (this.#single === undefined || passesOf(sizes) > 1) return;
    // A token is never free, and never dearer than a pass of its own.
    const further = (milliseconds - this.#single) / (tokens - 1);
    this.#further = blend(this.#further, Math.min(Math.max(further, this.#single / 50), this.#single));
  }
}

function passesOf(sizes: readonly number[]): number {
  return new Set(sizes).size;
}

function blend(known: number | undefined, seen: number): number {
  return known === undefined ? seen : known + (seen - known) * NEWEST;
}
