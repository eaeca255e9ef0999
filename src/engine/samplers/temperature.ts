import type { Candidates } from "./candidates.ts";

/** Source: llama.cpp, llama_sampler_temp_ext. At temperature 0 the best candidate alone stays, whatever the range. */
export function temperature(list: Candidates, value: number, range: number, exponent: number): void {
  if (value <= 0) return list.cut(1);
  if (range > 0) dynamic(list, value, range, exponent);
  else if (value !== 1) list.divide(value);
}

/** The flatter the distribution, the higher the temperature: between value - range and value + range. */
function dynamic(list: Candidates, value: number, range: number, exponent: number): void {
  list.requireWhole();
  if (list.length <= 1) return;
  const least = Math.max(0, value - range);
  let entropy = 0;
  for (const probability of list.probabilities()) if (probability > 0) entropy -= probability * Math.log(probability);
  const share = Math.min(1, entropy / Math.log(list.length));
  const chosen = least + (value + range - least) * share ** exponent;
  if (chosen <= 0) list.cut(1);
  else if (Number.isFinite(chosen)) list.divide(chosen);
}
