/**
 * The samplers once more, written from their definitions alone: probabilities in, the set that is kept out. Slow and
 * plain, so that they can be compared with the papers and with llama.cpp by eye.
 */
export function softmax(logits: readonly number[]): number[] {
  const best = Math.max(...logits);
  const weights = logits.map((logit) => Math.exp(logit - best));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/** Holtzman et al., 2020: the smallest set of the best whose mass is at least p. */
export function nucleus(logits: readonly number[], p: number, minKeep = 0): number[] {
  const probabilities = softmax(logits);
  const byRank = probabilities.map((_, token) => token).sort((a, b) => probabilities[b]! - probabilities[a]!);
  for (let size = 1; size <= byRank.length; size++) {
    const mass = byRank.slice(0, size).reduce((sum, token) => sum + probabilities[token]!, 0);
    if (mass >= p && size >= minKeep) return byRank.slice(0, size);
  }
  return byRank;
}

/** Nguyen et al., 2024: probability at least p times the best one's. */
export function minProbability(logits: readonly number[], p: number, minKeep = 0): number[] {
  const probabilities = softmax(logits);
  const best = Math.max(...probabilities);
  return probabilities.flatMap((probability, token) => (probability >= p * best || token < minKeep ? [token] : []));
}

/** Meister et al., 2023: nearest to the entropy first, until the mass is above p. */
export function typical(logits: readonly number[], p: number, minKeep = 0): number[] {
  const probabilities = softmax(logits);
  const entropy = probabilities.reduce((sum, probability) => sum - probability * Math.log(probability), 0);
  const far = (token: number) => Math.abs(-Math.log(probabilities[token]!) - entropy);
  const kept: number[] = [];
  let mass = 0;
  for (const token of probabilities.map((_, index) => index).sort((a, b) => far(a) - far(b))) {
    kept.push(token);
    mass += probabilities[token]!;
    if (mass > p && kept.length >= minKeep) break;
  }
  return kept.sort((a, b) => a - b);
}

/** Tang et al., 2024: at least the best logit minus n standard deviations. */
export function nSigma(logits: readonly number[], n: number): number[] {
  const mean = logits.reduce((sum, logit) => sum + logit, 0) / logits.length;
  const variance = logits.reduce((sum, logit) => sum + (logit - mean) ** 2, 0) / logits.length;
  const least = Math.max(...logits) - n * Math.sqrt(variance);
  return logits.flatMap((logit, token) => (logit >= least ? [token] : []));
}

/** llama.cpp's "entropy" temperature. */
export function dynamicTemperature(logits: readonly number[], value: number, range: number, exponent: number): number {
  const probabilities = softmax(logits);
  const entropy = probabilities.reduce((sum, probability) => sum - probability * Math.log(probability), 0);
  const least = Math.max(0, value - range);
  return least + (value + range - least) * (entropy / Math.log(logits.length)) ** exponent;
}

/** llama.cpp's adaptive-p: the probabilities of the draw, given the mean of what was chosen. */
export function adaptive(logits: readonly number[], target: number, mean: number): number[] {
  const adapted = Math.min(1, Math.max(0, 2 * target - mean));
  return softmax(
    softmax(logits).map((probability) => {
      const distance = Math.abs((probability - adapted) / 0.3);
      return 5 - (10 * distance ** 2) / (1 + distance);
    }),
  );
}

/** Basu et al., 2021, algorithm 1: how many of the best stay. */
export function mirostatRank(logits: readonly number[], mu: number, vocabulary: number): number {
  const p = softmax(logits);
  let products = 0;
  let squares = 0;
  for (let i = 1; i < Math.min(100, p.length); i++) {
    const t = Math.log((i + 1) / i);
    products += t * Math.log(p[i - 1]! / p[i]!);
    squares += t * t;
  }
  const s = products / squares;
  return Math.max(1, Math.trunc((((s - 1) * 2 ** mu) / (1 - vocabulary ** (1 - s))) ** (1 / s)));
}

/** For each token, by how much DRY lowers it: compares the answer's end with every earlier place, token by token. */
export function dryPenalties(
  answer: readonly number[],
  { multiplier, base, allowed }: { multiplier: number; base: number; allowed: number },
  breakers: ReadonlySet<number>,
): Map<number, number> {
  const penalties = new Map<number, number>();
  for (let end = 0; end + 1 < answer.length; end++) {
    let length = 0;
    for (let back = 0; back <= end; back++) {
      const token = answer[answer.length - 1 - back]!;
      if (answer[end - back] !== token || breakers.has(token)) break;
      length++;
    }
    const next = answer[end + 1]!;
    if (length < allowed || breakers.has(next)) continue;
    penalties.set(next, Math.max(penalties.get(next) ?? 0, multiplier * base ** (length - allowed)));
  }
  return penalties;
}
