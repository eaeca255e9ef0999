const MASK_64 = (1n << 64n) - 1n;
const GOLDEN = 0x9e37_79b9_7f4a_7c15n;

/** One round of SplitMix64: every bit of the input counts in every bit of the result. */
export function mix64(value: bigint): bigint {
  let mixed = value & MASK_64;
  mixed = ((mixed ^ (mixed >> 30n)) * 0xbf58_476d_1ce4_e5b9n) & MASK_64;
  mixed = ((mixed ^ (mixed >> 27n)) * 0x94d0_49bb_1331_11ebn) & MASK_64;
  return mixed ^ (mixed >> 31n);
}

/** SplitMix64: the same numbers for the same seed, on every machine. */
export class Random {
  #state: bigint;

  constructor(seed: bigint) {
    this.#state = seed & MASK_64;
  }

  /** Uniform in [0, 1), 53 bits. */
  next(): number {
    this.#state = (this.#state + GOLDEN) & MASK_64;
    return Number(mix64(this.#state) >> 11n) / 2 ** 53;
  }
}

/** XTC's own numbers: whether it acts must not move those of the choice. */
export function xtcRandom(seed: bigint): Random {
  return new Random(seed ^ 0x7874_6300n);
}
