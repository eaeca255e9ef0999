import { Candidates, type Rest } from "../../../../src/engine/samplers/candidates.ts";
import { Random } from "../../../../src/engine/samplers/random.ts";

/** Logits of whole vocabularies, in falling order: one that knows what comes, one that doubts, one that is flat. */
export function syntheticLogits(size: number, spread: number, seed: bigint): Float64Array {
  const random = new Random(seed);
  const normal = () => Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
  return Float64Array.from({ length: size }, () => spread * normal()).sort((a, b) => b - a);
}

export const distributions: readonly (readonly [name: string, logits: Float64Array])[] = [
  ["peaked", syntheticLogits(2000, 3, 1n)],
  ["doubting", syntheticLogits(2000, 1.2, 2n)],
  ["flat", syntheticLogits(300, 0.2, 3n)],
  ["few", Float64Array.of(2, 1.5, 1.5, -1)],
  ["one", Float64Array.of(0.3)],
];

export function whole(logits: Float64Array): Candidates {
  return new Candidates(Uint32Array.from(logits.keys()), logits, true);
}

/** The first of the list, with the weight of the rest where asked for. */
export function beginning(logits: Float64Array, length: number, massAt?: number): Candidates {
  const tokens = Uint32Array.from(logits.subarray(0, length).keys());
  if (length >= logits.length) return whole(logits);
  if (massAt === undefined) return new Candidates(tokens, logits.subarray(0, length), false);
  let weight = 0;
  for (const logit of logits.subarray(length)) weight += Math.exp(logit / massAt);
  const rest: Rest = { temperature: massAt, logWeight: Math.log(weight) };
  return new Candidates(tokens, logits.subarray(0, length), false, rest);
}
