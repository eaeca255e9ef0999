/** Weight of the newest measurement. */
const NEWEST = 0.2;
/** Of a token's own time in a pass, before anything is measured. */
const FIRST_SHARE = 0.3;
/** A pass that is this much slower than usual was disturbed. */
const OUTLIER = 4;

/** Matrices are multiplied in blocks of so many tokens: of 5, as long as of 8. */
export const BLOCK = 4;

/**
 * How long a step takes, learnt from those that were. llama.cpp computes the same number of tokens of each sequence in
 * one pass over the weights, so sequences with more tokens than others cost a further pass. Measured, 0.5B, Q8_0, in
 * times of one token alone: 2 tokens 1.5, 4 2.0, 5 and 8 3.2, 12 4.5, 16 5.8, 32 11.
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
    const passes = passesOf(sizes);
    return passes.length * (single - further) + sum(passes) * further;
  }

  learn(sizes: readonly number[], milliseconds: number): void {
    const passes = passesOf(sizes);
    const tokens = passes[0];
    if (tokens === undefined) return;
    if (sum(sizes) === 1) {
      if (this.#single !== undefined && milliseconds > OUTLIER * this.#single) milliseconds = OUTLIER * this.#single;
      this.#single = blend(this.#single, milliseconds);
      return;
    }
    if (this.#single === undefined || passes.length > 1) return;
    // A token is never free, and never dearer than a pass of its own.
    const further = (milliseconds - this.#single) / (tokens - 1);
    this.#further = blend(this.#further, Math.min(Math.max(further, this.#single / 50), this.#single));
  }
}

/** The tokens that each pass costs: those of the sequences with the same number of them, in whole blocks. */
function passesOf(sizes: readonly number[]): number[] {
  const passes = new Map<number, number>();
  for (const size of sizes) passes.set(size, (passes.get(size) ?? 0) + size);
  return [...passes.values()].map((tokens) => (tokens <= BLOCK ? tokens : Math.ceil(tokens / BLOCK) * BLOCK));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function blend(known: number | undefined, seen: number): number {
  return known === undefined ? seen : known + (seen - known) * NEWEST;
}
