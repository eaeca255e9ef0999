import type { Candidates } from "./candidates.ts";

// Shape of the transformation. Source: llama.cpp, src/llama-sampler.cpp, llama_sampler_adaptive_p.
const WIDTH = 0.3;
const PEAK = 5;
const SHARPNESS = 10;

/** Prefers tokens whose probability is near a target, and moves the target against the mean of what was chosen. */
export class AdaptiveP {
  readonly #target: number;
  readonly #decay: number;
  #weightedSum: number;
  #totalWeight: number;
  #chosen: number | undefined;

  constructor(target: number, decay: number) {
    this.#target = target;
    this.#decay = decay;
    this.#weightedSum = target / (1 - decay);
    this.#totalWeight = 1 / (1 - decay);
  }

  /** The index of the choice, which changes the list's logits. The state stays as it is until `commit`. */
  choose(list: Candidates, uniform: number): number {
    list.requireWhole();
    const probabilities = list.probabilities();
    const adapted = clamp(2 * this.#target - this.#weightedSum / this.#totalWeight);
    const logits = probabilities.map((probability, index) => {
      if (list.logits[index] === -Infinity) return -Infinity;
      const distance = Math.abs(probability - adapted) / WIDTH;
      return PEAK - (SHARPNESS * distance * distance) / (1 + distance);
    });
    // The order stays the old one: drawing does not need another.
    list.logits = logits;
    const index = list.draw(uniform);
    this.#chosen = probabilities[index]!;
    return index;
  }

  /** The last choice holds. */
  commit(): void {
    if (this.#chosen === undefined) return;
    this.#weightedSum = this.#chosen + this.#decay * this.#weightedSum;
    this.#totalWeight = 1 + this.#decay * this.#totalWeight;
    this.#chosen = undefined;
  }
}

function clamp(value: number): number {
  return Math.min(Math.max(value, 0), 1);
}
