import type { LikelyToken, TokenChance } from "../domain/generation.ts";
import type { Native, NativeContext, NativeModel, NativeSampler, SampleReport, Token } from "./native.ts";
import type { Sampler } from "./sampler.ts";
import type { Candidates } from "./samplers/candidates.ts";
import type { TokenTexts } from "./token-texts.ts";

/** Tells how likely the model itself finds tokens, before bias, penalties and temperature. */
export class ChanceReader {
  readonly #texts: TokenTexts;
  readonly #best: NativeSampler;
  readonly #top: NativeSampler | undefined;

  /** `count`: likeliest tokens to list beside the one that is asked for. */
  constructor(native: Native, model: NativeModel, texts: TokenTexts, count: number) {
    this.#texts = texts;
    this.#best = native.createSampler(model, { temperature: 0, seed: 1 });
    if (count > 0) this.#top = native.createSampler(model, { temperature: 1, topK: count, seed: 1 });
  }

  /** How likely a token is in a row of the last decoded batch. */
  async read(context: NativeContext, row: number, token: Token): Promise<TokenChance> {
    const [[best, , , own = [], total = 1], [, , , list = []]] = await Promise.all([
      // The logits of the token and of the best one, and the weight of all relative to the best.
      context.sampleToken(row, this.#best, false, false, [[token], false, false, true, 0], true),
      this.#top === undefined ? NOTHING : context.sampleToken(row, this.#top, false, false, true),
    ]);
    const logits = toPairs(own);
    const base = (logits.get(best) ?? 0) + Math.log(total);
    const describe = (described: Token, logit: number): LikelyToken => ({
      ...this.#texts.describe(described),
      logprob: logit - base,
    });
    return {
      ...describe(token, logits.get(token) ?? -Infinity),
      top: Array.from(toPairs(list), ([listed, logit]) => describe(listed, logit)),
    };
  }

  dispose(): void {
    this.#best.dispose();
    this.#top?.dispose();
  }
}

/** Notes how likely each drawn token was. */
export interface ChanceNotes {
  /** What was noted of the tokens since the last call, in order. */
  take(): TokenChance | undefined;
}

/** Notes the model's own probability of each token that a sampler draws. */
export class ChanceRecorder implements Sampler, ChanceNotes {
  readonly #sampler: Sampler;
  readonly #reader: ChanceReader;
  readonly #noted: TokenChance[] = [];

  constructor(sampler: Sampler, reader: ChanceReader) {
    this.#sampler = sampler;
    this.#reader = reader;
  }

  async sample(context: NativeContext, row: number): Promise<Token> {
    const token = await this.#sampler.sample(context, row);
    if (token >= 0) this.#noted.push(await this.#reader.read(context, row, token));
    return token;
  }

  take(): TokenChance | undefined {
    return this.#noted.shift();
  }

  dispose(): void {
    this.#sampler.dispose();
    this.#reader.dispose();
  }
}

/** Notes the probabilities that the samplers left, of which each token was drawn. */
export class LeftRecorder implements ChanceNotes {
  readonly #texts: TokenTexts;
  readonly #count: number;
  readonly #noted: TokenChance[] = [];

  /** `count`: likeliest tokens to list; those of probability 0 are left out. */
  constructor(texts: TokenTexts, count: number) {
    this.#texts = texts;
    this.#count = count;
  }

  note(token: Token, left: Candidates): void {
    const probabilities = left.probabilities();
    const order = Array.from(left.tokens.keys())
      .filter((index) => probabilities[index]! > 0)
      .sort((a, b) => probabilities[b]! - probabilities[a]! || a - b);
    const describe = (index: number): LikelyToken => ({
      ...this.#texts.describe(left.tokens[index]!),
      logprob: Math.log(probabilities[index]!),
    });
    const own = left.tokens.indexOf(token);
    this.#noted.push({ ...describe(own), top: order.slice(0, this.#count).map(describe) });
  }

  take(): TokenChance | undefined {
    return this.#noted.shift();
  }
}

const NOTHING: Promise<SampleReport> = Promise.resolve<SampleReport>([-1]);

function toPairs(flat: readonly number[]): Map<Token, number> {
  const pairs = new Map<Token, number>();
  for (let index = 0; index < flat.length; index += 2) pairs.set(flat[index]!, flat[index + 1]!);
  return pairs;
}
