import { Candidates } from "./candidates.ts";

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

  constructor(target: number, decay: number) {
    this.#target = target;
    this.#decay = decay;
    this.#weightedSum = target / (1 - decay);
    this.#totalWeight = 1 / (1 - decay);
  }

  /** The index of the choice. */
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
    const index = new Candidates(list.tokens, logits, true).draw(uniform);
    this.#weightedSum = probabilities[index]! + this.#decay * this.#weightedSum;
    this.#totalWeight = 1 + this.#decay * this.#totalWeight;
    return index;
  }
}

function clamp(value: number): number {
  return Math.min(Math.max(value, 0), 1);
}
