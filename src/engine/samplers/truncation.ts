/**
 * The samplers that take candidates away. Definitions: llama.cpp, src/llama-sampler.cpp. Where llama.cpp sets a logit
 * to -infinity the candidate is removed here, which is the same to every sampler that weighs probabilities.
 */
import type { Candidates } from "./candidates.ts";
import { ListTooShort, sum } from "./candidates.ts";

/** What of the mass may be unknown where an entropy is computed over it. */
const LEAST_KNOWN = 1 - 1e-4;

export function topK(list: Candidates, k: number): void {
  if (k > 0 && (k < list.length || !list.isWhole)) list.cut(k);
}

/** The fewest of the best whose probabilities add up to `p`. */
export function topP(list: Candidates, p: number, minKeep: number): void {
  if (p >= 1) return;
  const probabilities = list.probabilities();
  let reached = 0;
  for (let index = 0; index < list.length; index++) {
    reached += probabilities[index]!;
    if (reached >= p && index + 1 >= minKeep) return list.cut(index + 1);
  }
  list.requireWhole();
}

/** Those with at least a share `p` of the best one's probability. */
export function minP(list: Candidates, p: number, minKeep: number): void {
  if (p <= 0 || list.length === 0) return;
  const least = list.logits[0]! + Math.log(p);
  let count = 1;
  while (count < list.length && (list.logits[count]! >= least || count < minKeep)) count++;
  if (count === list.length) list.requireWhole();
  else list.cut(count);
}

/** Those whose surprise is nearest to the expected one, until their probabilities add up to more than `p`. */
export function typicalP(list: Candidates, p: number, minKeep: number): void {
  if (p >= 1) return;
  const probabilities = list.probabilities();
  const known = sum(probabilities);
  if (!list.isWhole && (known < LEAST_KNOWN || list.ordered < list.length)) throw new ListTooShort();
  const surprises = probabilities.map((probability) => -Math.log(probability));
  let entropy = 0;
  for (const [index, probability] of probabilities.entries()) {
    if (probability > 0) entropy += probability * surprises[index]!;
  }
  const distances = surprises.map((surprise) => Math.abs(surprise - entropy));
  const order = Array.from(distances.keys()).sort((a, b) => distances[a]! - distances[b]!);
  let reached = 0;
  let count = 0;
  while (count < order.length) {
    reached += probabilities[order[count++]!]!;
    if (reached > p && (minKeep === 0 || count >= minKeep)) break;
  }
  list.keep(order.slice(0, count).sort((a, b) => a - b));
}

/** Those within `n` standard deviations of the best logit, over all finite logits. */
export function topNSigma(list: Candidates, n: number): void {
  if (n <= 0 || list.length <= 1) return;
  list.requireWhole();
  const finite = list.logits.filter((logit) => logit !== -Infinity);
  const mean = sum(finite) / finite.length;
  const deviation = Math.sqrt(sum(finite.map((logit) => (logit - mean) ** 2)) / finite.length);
  const least = list.logits[0]! - n * deviation;
  let count = 1;
  while (count < list.length && list.logits[count]! >= least) count++;
  list.cut(count);
}

/** With a chance of `probability`, drops all candidates above the threshold but the least likely of them. */
export function xtc(list: Candidates, probability: number, threshold: number, minKeep: number, chance: number): void {
  if (probability <= 0 || threshold > 0.5 || list.length < 2 || chance > probability) return;
  const probabilities = list.probabilities();
  let above = 0;
  while (above < list.length && probabilities[above]! >= threshold) above++;
  const dropped = above - 1;
  if (dropped > 0 && list.length - dropped >= minKeep) list.dropBest(dropped);
}
