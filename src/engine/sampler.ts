import type { NativeContext, NativeSampler, Token } from "./native.ts";

/** Chooses the tokens of one answer, each from a row of the last decoded batch. */
export interface Sampler {
  sample(context: NativeContext, row: number): Promise<Token>;
  /** Tokens that come next whatever any row says; they count as sampled. */
  ahead?(): readonly Token[];
  dispose(): void;
}

/** The library's own chain. */
export class NativeDraw implements Sampler {
  readonly #sampler: NativeSampler;

  constructor(sampler: NativeSampler) {
    this.#sampler = sampler;
  }

  sample(context: NativeContext, row: number): Promise<Token> {
    return context.sampleToken(row, this.#sampler);
  }

  dispose(): void {
    this.#sampler.dispose();
  }
}
