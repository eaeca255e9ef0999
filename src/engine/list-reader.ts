import type {
  Native,
  NativeContext,
  NativeGrammarState,
  NativeModel,
  NativeSampler,
  NativeSamplerConfig,
} from "./native.ts";
import { Candidates, type Rest } from "./samplers/candidates.ts";

/** Longer lists cost more than the whole vocabulary. */
const LONGEST_LIST = 8192;
/** The native samplers that make lists choose a token as well, which nobody looks at. */
const UNUSED_SEED = 1;

export interface ListOptions {
  /** The temperature at which the weight of what a list leaves out is needed; undefined where it is not. */
  readonly massAt: number | undefined;
  readonly vocabularySize: number;
}

/** What a list is read with. */
export interface ListConditions {
  /** Most tokens. */
  readonly length: number;
  /** The biases, which the native side applies. */
  readonly bias: Partial<NativeSamplerConfig>;
  /** Only tokens that this allows, those first that it does; the state stays as it is. */
  readonly grammar: NativeGrammarState | undefined;
}

/** Reads the beginning of a row's sorted list, or all of it. */
export class ListReader {
  readonly #native: Native;
  readonly #top: NativeSampler;
  readonly #mass: NativeSampler | undefined;
  readonly #options: ListOptions;
  #configured: { length: number; bias: Partial<NativeSamplerConfig> } | undefined;

  constructor(native: Native, model: NativeModel, options: ListOptions) {
    this.#native = native;
    this.#options = options;
    const config = { temperature: 1, seed: UNUSED_SEED };
    this.#top = native.createSampler(model, config);
    if (options.massAt !== undefined) this.#mass = native.createSampler(model, config);
  }

  async read(context: NativeContext, row: number, { length, bias, grammar }: ListConditions): Promise<Candidates> {
    const { massAt, vocabularySize } = this.#options;
    // Testing all tokens costs far more than a long list, and a grammar seldom allows more than that.
    const wanted = grammar === undefined ? length : Math.max(length, LONGEST_LIST);
    const isWhole = wanted > LONGEST_LIST || wanted >= vocabularySize;
    this.#configure(isWhole ? 0 : wanted, bias, grammar);
    const weigh = () =>
      isWhole || this.#mass === undefined ? undefined : context.sampleToken(row, this.#mass, false, false, false, true);
    const [[, , , pairs = []], early] = await Promise.all([
      context.sampleToken(row, this.#top, false, false, true),
      grammar === undefined ? weigh() : undefined,
    ]);
    const { tokens, logits } = split(pairs);
    // Below the first token that is forbidden all are.
    const hasAll = isWhole || 2 * tokens.length < pairs.length;
    const weighed = grammar === undefined || hasAll ? early : await weigh();
    return new Candidates(tokens, logits, hasAll, hasAll ? undefined : toRest(logits, massAt, weighed?.[4]));
  }

  dispose(): void {
    this.#top.dispose();
    this.#mass?.dispose();
  }

  #configure(length: number, bias: Partial<NativeSamplerConfig>, grammar: NativeGrammarState | undefined): void {
    const known = this.#configured;
    if (grammar === undefined && known?.length === length && known.bias === bias) return;
    this.#configured = grammar === undefined ? { length, bias } : undefined;
    const { massAt } = this.#options;
    // Each native sampler accepts what it chose into its state: only copies may be given.
    const held = () =>
      grammar === undefined ? {} : { grammarEvaluationState: this.#native.copyGrammarState(grammar) };
    const common = { seed: UNUSED_SEED, ...bias };
    this.#top.applyConfig({ temperature: 1, ...common, ...held(), ...(length > 0 && { topK: length }) });
    // Greedy sampling leaves the logits alone, and costs less than a draw.
    if (massAt !== undefined) this.#mass?.applyConfig({ temperature: massAt === 1 ? 0 : massAt, ...common, ...held() });
  }
}

/** Pairs of token and logit → both lists, without the tokens that are forbidden. */
function split(pairs: readonly number[]): { tokens: Uint32Array; logits: Float64Array } {
  let count = pairs.length / 2;
  while (count > 0 && pairs[2 * count - 1] === -Infinity) count--;
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
