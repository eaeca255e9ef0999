import type { SamplingOptions } from "../domain/generation.ts";
import type { Native, NativeContext, NativeModel, NativeSampler, NativeSamplerConfig, Token } from "./native.ts";
import type { Sampler } from "./sampler.ts";
import { Candidates, ListTooShort, type Rest } from "./samplers/candidates.ts";
import { Chain, type ChainInputs, type Draws } from "./samplers/chain.ts";
import { planList, type ListPlan } from "./samplers/plan.ts";
import { Random } from "./samplers/random.ts";

/** Longer lists cost more than the whole vocabulary. */
const LONGEST_LIST = 8192;
const GROWTH = 8;
/** The native samplers that make lists choose a token as well, which nobody looks at. */
const UNUSED_SEED = 1;

export interface ComputedInputs extends ChainInputs {
  readonly seed: bigint;
  /** The biases, which the native side applies. */
  readonly bias: Partial<NativeSamplerConfig>;
}

/**
 * A chain computed here, for what the native one does not have. The native side gives the likeliest tokens, in order,
 * and the weight of all; it never learns which token was chosen, so penalties are computed here too.
 */
export class ComputedDraw implements Sampler {
  readonly #chain: Chain;
  readonly #plan: ListPlan;
  readonly #lists: ListReader;
  readonly #choices: Random;
  readonly #xtc: Random;

  constructor(native: Native, model: NativeModel, options: SamplingOptions, inputs: ComputedInputs) {
    this.#chain = new Chain(options, inputs);
    this.#plan = planList(options);
    this.#lists = new ListReader(native, model, inputs, this.#plan.massAt);
    this.#choices = new Random(inputs.seed);
    this.#xtc = new Random(inputs.seed ^ 0x7874_6300n);
  }

  async sample(context: NativeContext, row: number): Promise<Token> {
    const draws: Draws = { choice: this.#choices.next(), xtc: this.#xtc.next() };
    let length = this.#plan.length + this.#chain.moved;
    for (;;) {
      const list = await this.#lists.read(context, row, length);
      const { isWhole } = list;
      if (list.length === 0) return -1;
      try {
        const token = this.#chain.choose(list, draws);
        this.#chain.accept(token);
        return token;
      } catch (error) {
        if (!(error instanceof ListTooShort) || isWhole) throw error;
      }
      length *= GROWTH;
    }
  }

  dispose(): void {
    this.#lists.dispose();
  }
}

/** Reads the beginning of a row's sorted list, or all of it. */
class ListReader {
  readonly #top: NativeSampler;
  readonly #mass: NativeSampler | undefined;
  readonly #massAt: number | undefined;
  readonly #bias: Partial<NativeSamplerConfig>;
  readonly #vocabularySize: number;
  #configured = 0;

  constructor(
    native: Native,
    model: NativeModel,
    { bias, vocabularySize }: ComputedInputs,
    massAt: number | undefined,
  ) {
    this.#bias = bias;
    this.#massAt = massAt;
    this.#vocabularySize = vocabularySize;
    this.#top = native.createSampler(model, { temperature: 1, seed: UNUSED_SEED, ...bias });
    if (massAt === undefined) return;
    // Greedy sampling leaves the logits alone, and costs less than a draw.
    this.#mass = native.createSampler(model, { temperature: massAt === 1 ? 0 : massAt, seed: UNUSED_SEED, ...bias });
  }

  async read(context: NativeContext, row: number, wanted: number): Promise<Candidates> {
    const isWhole = wanted > LONGEST_LIST || wanted >= this.#vocabularySize;
    this.#configure(isWhole ? 0 : wanted);
    const listing = context.sampleToken(row, this.#top, false, false, true);
    const weighing =
      isWhole || this.#mass === undefined ? undefined : context.sampleToken(row, this.#mass, false, false, false, true);
    const [[, , , pairs = []], weighed] = await Promise.all([listing, weighing]);
    const { tokens, logits } = split(pairs);
    return new Candidates(tokens, logits, isWhole, toRest(logits, this.#massAt, weighed?.[4]));
  }

  dispose(): void {
    this.#top.dispose();
    this.#mass?.dispose();
  }

  #configure(length: number): void {
    if (length === this.#configured) return;
    this.#configured = length;
    this.#top.applyConfig({ temperature: 1, seed: UNUSED_SEED, ...this.#bias, ...(length > 0 && { topK: length }) });
  }
}

/** Pairs of token and logit → both lists, without the tokens that are forbidden. */
function split(pairs: readonly number[]): { tokens: Uint32Array; logits: Float64Array } {
  let count = pairs.length / 2;
  while (count > 1 && pairs[2 * count - 1] === -Infinity) count--;
  const tokens = new Uint32Array(count);
  const logits = new Float64Array(count);
  for (let index = 0; index < count; index++) {
    tokens[index] = pairs[2 * index]!;
    logits[index] = pairs[2 * index + 1]!;
  }
  return { tokens, logits };
}

/** `total`: the weight of all tokens relative to the best one. */
function toRest(logits: Float64Array, massAt: number | undefined, total: number | undefined): Rest | undefined {
  if (massAt === undefined || total === undefined) return undefined;
  const best = logits[0]! / massAt;
  let listed = 0;
  for (const logit of logits) listed += Math.exp(logit / massAt - best);
  return { temperature: massAt, logWeight: Math.log(Math.max(0, total - listed)) + best };
}
