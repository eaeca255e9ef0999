/**
 * What the addon's sampler does, on rows of logits that were fetched whole, with the samplers that are computed here
 * anyway (docs/decisions/0010-computed-samplers.md). Random numbers are not the addon's: a seed repeats its own text.
 */
import type { SamplingOptions } from "../domain/generation.ts";
import type { LogitFilter, NativeSampler, NativeSamplerConfig, SampleReport, Token } from "./native.ts";
import type { BreakerCache } from "./samplers/breakers.ts";
import { Candidates, ListTooShort, sum } from "./samplers/candidates.ts";
import { Chain, type Draws } from "./samplers/chain.ts";
import type { DrySettings } from "./samplers/dry.ts";
import { isGreedy, NATIVE_ORDER, planList } from "./samplers/plan.ts";
import { Random, xtcRandom } from "./samplers/random.ts";

const GROWTH = 8;
const SIGN = 0x8000_0000;

/** The logits of one token, by token. */
export class Row {
  readonly logits: Float32Array;
  #sorted: Uint32Array | undefined;

  constructor(logits: Float32Array) {
    this.logits = logits;
  }

  /** Another row, with biases added. */
  biased(tokens: Uint32Array, values: Float32Array): Row {
    const logits = this.logits.slice();
    for (const [index, token] of tokens.entries()) logits[token]! += values[index]!;
    return new Row(logits);
  }

  /** -1 where no token may be drawn. */
  best(): Token {
    let best = -1;
    let most = -Infinity;
    for (const [token, logit] of this.logits.entries()) {
      if (logit <= most) continue;
      best = token;
      most = logit;
    }
    return best;
  }

  /** The summed weights of all tokens, relative to the best. */
  weightAt(temperature: number): number {
    const best = this.logits[this.best()] ?? 0;
    let total = 0;
    for (const logit of this.logits) total += Math.exp((logit - best) / temperature);
    return total;
  }

  /** The likeliest tokens, without those that may not be drawn; with the weight of the rest where `massAt` asks for it. */
  list(length: number, massAt?: number): Candidates {
    const sorted = this.#sort();
    const count = Math.min(length, sorted.length);
    const tokens = sorted.subarray(0, count);
    const logits = Float64Array.from(tokens, (token) => this.logits[token]!);
    if (count === sorted.length) return new Candidates(tokens, logits, true);
    if (massAt === undefined) return new Candidates(tokens, logits, false);
    const best = logits[0]! / massAt;
    const listed = sum(logits.map((logit) => Math.exp(logit / massAt - best)));
    const logWeight = Math.log(Math.max(0, this.weightAt(massAt) - listed)) + best;
    return new Candidates(tokens, logits, false, { temperature: massAt, logWeight });
  }

  /** Tokens in falling order; of equal ones the lowest first. */
  #sort(): Uint32Array {
    if (this.#sorted !== undefined) return this.#sorted;
    const bits = new Uint32Array(this.logits.buffer, this.logits.byteOffset, this.logits.length);
    // Integers that sort as the logits fall, the token below: typed arrays sort fast without a function that compares.
    const keys = new BigUint64Array(this.logits.length);
    const halves = new Uint32Array(keys.buffer);
    const [low, high] = new Uint32Array(BigUint64Array.of(1n).buffer)[0] === 1 ? [0, 1] : [1, 0];
    for (let token = 0; token < bits.length; token++) {
      halves[2 * token + low] = token;
      halves[2 * token + high] = (bits[token]! & SIGN) === 0 ? ~(bits[token]! | SIGN) : bits[token]!;
    }
    keys.sort();
    const tokens = Uint32Array.from(this.logits.keys(), (place) => halves[2 * place + low]!);
    let count = tokens.length;
    while (count > 0 && this.logits[tokens[count - 1]!] === -Infinity) count--;
    return (this.#sorted = tokens.subarray(0, count));
  }
}

export interface PublicSamplerInputs {
  readonly vocabularySize: number;
  readonly breakers: BreakerCache;
}

export class PublicSampler implements NativeSampler {
  readonly #inputs: PublicSamplerInputs;
  #state: Configured;

  constructor(inputs: PublicSamplerInputs, config: NativeSamplerConfig) {
    this.#inputs = inputs;
    this.#state = configure(inputs, config);
  }

  applyConfig(config: NativeSamplerConfig): void {
    this.#state = configure(this.#inputs, config);
  }

  dispose(): void {}

  /** Below 0 where biases leave no token. */
  draw(row: Row): Token {
    const token = this.#choose(this.#biased(row), this.#nextDraws());
    if (token >= 0) this.#state.chain.accept(token);
    return token;
  }

  /** See `NativeContext.sampleToken`. */
  report(row: Row, logits: boolean | LogitFilter, wantsWeight: boolean): SampleReport {
    const biased = this.#biased(row);
    const { topK = Infinity } = this.#state.config;
    const greedy = isGreedy(this.#state.options);
    // Greedy sampling takes nothing away.
    const list = greedy && logits !== true ? undefined : biased.list(greedy ? Infinity : topK);
    const draws = this.#nextDraws();
    const isEmpty = list !== undefined && list.length === 0;
    const token = greedy || isEmpty || list === undefined ? biased.best() : this.#state.chain.choose(list, draws);
    if (token >= 0) this.#state.chain.accept(token);
    const weight = () => (list === undefined ? biased.weightAt(1) : weightOf(list.logits));
    return [
      token,
      undefined,
      undefined,
      logits === false ? [] : pairs(biased, list, token, logits),
      wantsWeight ? weight() : undefined,
    ] as unknown as SampleReport;
  }

  #biased(row: Row): Row {
    const { tokenBiasKeys, tokenBiasValues } = this.#state.config;
    return tokenBiasKeys && tokenBiasValues ? row.biased(tokenBiasKeys, tokenBiasValues) : row;
  }

  #choose(row: Row, draws: Draws): Token {
    const plan = planList(this.#state.options);
    // The usual case needs no order.
    if (plan.length === 1 && this.#state.chain.moved === 0) return row.best();
    for (let length = plan.length + this.#state.chain.moved; ; length *= GROWTH) {
      const list = row.list(length, plan.massAt);
      const { isWhole } = list;
      if (list.length === 0) return -1;
      try {
        return this.#state.chain.choose(list, draws);
      } catch (error) {
        if (!(error instanceof ListTooShort) || isWhole) throw error;
      }
    }
  }

  #nextDraws(): Draws {
    const { choices, xtc } = this.#state;
    return { choice: choices.next(), xtc: xtc.next() };
  }
}

/** What a configuration makes of a sampler. */
interface Configured {
  readonly config: NativeSamplerConfig;
  readonly options: SamplingOptions;
  readonly chain: Chain;
  readonly choices: Random;
  readonly xtc: Random;
}

function configure({ vocabularySize, breakers }: PublicSamplerInputs, config: NativeSamplerConfig): Configured {
  const options = toOptions(config);
  const chain = new Chain(options, {
    prompt: [...(config.repeatPenaltyTokens ?? [])],
    // Windows were cut to the context's length already.
    contextLength: Number.MAX_SAFE_INTEGER,
    vocabularySize,
    dry: drySettings(options, breakers),
  });
  const seed = BigInt(config.seed);
  return { config, options, chain, choices: new Random(seed), xtc: xtcRandom(seed) };
}

function drySettings({ dry }: SamplingOptions, cache: BreakerCache): DrySettings | undefined {
  if (dry === undefined) return undefined;
  const { multiplier, base, allowedLength, lastN: window, sequenceBreakers } = dry;
  return { multiplier, base, allowedLength, window, breakers: cache.get(sequenceBreakers) };
}

function pairs(row: Row, list: Candidates | undefined, token: Token, logits: true | LogitFilter): number[] {
  if (logits === true) return [...(list?.tokens ?? [])].flatMap((listed, index) => [listed, list!.logits[index]!]);
  const [tokens, , , selected] = logits;
  return [...tokens, ...(selected && token >= 0 ? [token] : [])].flatMap((wanted) => {
    const place = list?.tokens.indexOf(wanted);
    return [wanted, (place === undefined ? row.logits[wanted] : list!.logits[place]) ?? -Infinity];
  });
}

function weightOf(logits: Float64Array): number {
  return sum(logits.map((logit) => Math.exp(logit - logits[0]!)));
}

/** A key that is absent takes its sampler out of the chain. */
function toOptions(config: NativeSamplerConfig): SamplingOptions {
  return {
    temperature: config.temperature,
    topK: config.topK ?? 0,
    topP: config.topP ?? 1,
    minP: config.minP ?? 0,
    repeatPenalty: config.repeatPenalty ?? 1,
    repeatLastN: config.repeatPenaltyMaxTokens ?? 0,
    presencePenalty: config.repeatPenaltyPresencePenalty ?? 0,
    frequencyPenalty: config.repeatPenaltyFrequencyPenalty ?? 0,
    xtcProbability: config.xtcProbability ?? 0,
    xtcThreshold: config.xtcThreshold ?? 1,
    dry: toDry(config),
    typicalP: 1,
    topNSigma: -1,
    dynatempRange: 0,
    dynatempExponent: 1,
    minKeep: 0,
    mirostat: undefined,
    adaptiveP: undefined,
    samplers: NATIVE_ORDER,
    logitBias: [],
    ignoreEos: false,
    seed: undefined,
  };
}

function toDry(config: NativeSamplerConfig): SamplingOptions["dry"] {
  if (config.dryRepeatPenaltyStrength === undefined) return undefined;
  return {
    multiplier: config.dryRepeatPenaltyStrength,
    base: config.dryRepeatPenaltyBase ?? 1.75,
    allowedLength: config.dryRepeatPenaltyAllowedLength ?? 2,
    lastN: config.dryRepeatPenaltyLastTokens ?? 0,
    sequenceBreakers: config.dryRepeatPenaltySequenceBreakers ?? [],
  };
}
