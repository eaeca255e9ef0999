import type { LikelyToken, TokenChance } from "../domain/generation.ts";
import type { Native, NativeContext, NativeModel, NativeSampler, SampleReport, Token } from "./native.ts";
import type { Sampler } from "./sampler.ts";
import type { TokenTexts } from "./token-texts.ts";

/** Notes for each chosen token how likely the model itself found it, before bias, penalties and temperature. */
export class ChanceRecorder implements Sampler {
  readonly #sampler: Sampler;
  readonly #texts: TokenTexts;
  readonly #best: NativeSampler;
  readonly #top: NativeSampler | undefined;
  readonly #noted: TokenChance[] = [];

  /** `count`: likeliest tokens to list beside the chosen one. */
  constructor(sampler: Sampler, native: Native, model: NativeModel, texts: TokenTexts, count: number) {
    this.#sampler = sampler;
    this.#texts = texts;
    this.#best = native.createSampler(model, { temperature: 0, seed: 1 });
    if (count > 0) this.#top = native.createSampler(model, { temperature: 1, topK: count, seed: 1 });
  }

  async sample(context: NativeContext, row: number): Promise<Token> {
    const token = await this.#sampler.sample(context, row);
    if (token < 0) return token;
    const [[best, , , own = [], total = 1], [, , , list = []]] = await Promise.all([
      // The logits of the chosen token and of the best one, and the weight of all relative to the best.
      context.sampleToken(row, this.#best, false, false, [[token], false, false, true, 0], true),
      this.#top === undefined ? NOTHING : context.sampleToken(row, this.#top, false, false, true),
    ]);
    const logits = toPairs(own);
    const base = (logits.get(best) ?? 0) + Math.log(total);
    const describe = (described: Token, logit: number): LikelyToken => ({
      ...this.#texts.describe(described),
      logprob: logit - base,
    });
    this.#noted.push({
      ...describe(token, logits.get(token) ?? -Infinity),
      top: Array.from(toPairs(list), ([listed, logit]) => describe(listed, logit)),
    });
    return token;
  }

  /** What was noted of the tokens since the last call, in order. */
  take(): TokenChance | undefined {
    return this.#noted.shift();
  }

  dispose(): void {
    this.#sampler.dispose();
    this.#best.dispose();
    this.#top?.dispose();
  }
}

const NOTHING: Promise<SampleReport> = Promise.resolve<SampleReport>([-1]);

function toPairs(flat: readonly number[]): Map<Token, number> {
  const pairs = new Map<Token, number>();
  for (let index = 0; index < flat.length; index += 2) pairs.set(flat[index]!, flat[index + 1]!);
  return pairs;
}
