import type { SamplerName, SamplingOptions } from "../../domain/generation.ts";
import type { Token } from "../native.ts";
import { AdaptiveP } from "./adaptive-p.ts";
import type { Candidates } from "./candidates.ts";
import { Dry, type DrySettings } from "./dry.ts";
import { Mirostat } from "./mirostat.ts";
import { Penalties } from "./penalties.ts";
import { temperature } from "./temperature.ts";
import { minP, topK, topNSigma, topP, typicalP, xtc } from "./truncation.ts";

/** The addon cuts numbers to 32 bits; more candidates than any vocabulary has are all of them. */
const MOST_CANDIDATES = 0x7fff_ffff;

/** The random numbers of one token, drawn once however often its step is repeated. */
export interface Draws {
  readonly choice: number;
  readonly xtc: number;
}

export interface ChainInputs {
  readonly prompt: readonly Token[];
  readonly contextLength: number;
  readonly vocabularySize: number;
  /** Undefined where DRY is off. */
  readonly dry: DrySettings | undefined;
}

type Step = (list: Candidates, draws: Draws) => void;

/** A request's samplers, in its order. */
export class Chain {
  readonly #steps: readonly Step[];
  readonly #penalties: Penalties | undefined;
  readonly #dry: Dry | undefined;
  readonly #chooser: Mirostat | AdaptiveP | undefined;

  constructor(options: SamplingOptions, inputs: ChainInputs) {
    const names = activeSamplers(options);
    if (names.includes("penalties")) {
      const window = toWindow(options.repeatLastN, inputs.contextLength);
      const { repeatPenalty: repeat, presencePenalty: presence, frequencyPenalty: frequency } = options;
      this.#penalties = new Penalties({ repeat, presence, frequency, window }, inputs.prompt);
    }
    if (names.includes("dry") && inputs.dry !== undefined) this.#dry = new Dry(inputs.dry);
    if (options.mirostat !== undefined) {
      this.#chooser = new Mirostat({ ...options.mirostat, vocabularySize: inputs.vocabularySize });
    } else if (options.adaptiveP !== undefined && names.includes("adaptive_p")) {
      this.#chooser = new AdaptiveP(options.adaptiveP.target, options.adaptiveP.decay);
    }
    this.#steps = names.map((name) => this.#step(name, options));
  }

  /** Tokens that penalties may move to another place in the list. */
  get moved(): number {
    return this.#penalties?.affected ?? 0;
  }

  /** Leaves in the list what the samplers left. Nothing changes but the list. Errors: `ListTooShort`. */
  choose(list: Candidates, draws: Draws): Token {
    for (const step of this.#steps) step(list, draws);
    const index = this.#chooser?.choose(list, draws.choice) ?? list.draw(draws.choice);
    return list.tokens[index]!;
  }

  /** The answer goes on with a token: the one that was chosen last, or one that was not chosen here. */
  accept(token: Token): void {
    this.#chooser?.commit();
    this.#penalties?.accept(token);
    this.#dry?.accept(token);
  }

  #step(name: SamplerName, options: SamplingOptions): Step {
    const { minKeep } = options;
    switch (name) {
      case "penalties":
        return (list) => this.#penalties?.apply(list);
      case "dry":
        return (list) => this.#dry?.apply(list);
      case "top_n_sigma":
        return (list) => topNSigma(list, options.topNSigma);
      case "top_k":
        return (list) => topK(list, options.topK);
      case "typ_p":
        return (list) => typicalP(list, options.typicalP, minKeep);
      case "top_p":
        return (list) => topP(list, options.topP, minKeep);
      case "min_p":
        return (list) => minP(list, options.minP, minKeep);
      case "xtc":
        return (list, draws) => xtc(list, options.xtcProbability, options.xtcThreshold, minKeep, draws.xtc);
      case "temperature":
        return (list) => temperature(list, options.temperature, options.dynatempRange, options.dynatempExponent);
      case "adaptive_p":
        // Chooses at the end, wherever it is named.
        return () => {};
      default:
        return name satisfies never;
    }
  }
}

/** Samplers reserve memory for the whole window, and no sequence holds more tokens than the context. */
export function toWindow(tokens: number, contextLength: number): number {
  return tokens < 0 ? contextLength : Math.min(tokens, contextLength);
}

/** Those that can change which token is the best. */
const BEFORE_GREEDY: readonly SamplerName[] = ["penalties", "dry", "xtc", "temperature"];

/** The samplers that do something, in the request's order. Mirostat comes with the temperature alone, as in llama.cpp. */
export function activeSamplers(options: SamplingOptions): readonly SamplerName[] {
  if (options.mirostat !== undefined) return ["temperature"];
  const names = options.samplers.filter((name) => isActive(name, options));
  const isGreedy = options.temperature <= 0 && names.includes("temperature");
  return isGreedy ? names.filter((name) => BEFORE_GREEDY.includes(name)) : names;
}

function isActive(name: SamplerName, options: SamplingOptions): boolean {
  switch (name) {
    case "penalties":
      return options.repeatLastN !== 0 && hasPenalty(options);
    case "dry":
      return options.dry !== undefined && options.dry.multiplier !== 0 && options.dry.lastN !== 0;
    case "top_n_sigma":
      return options.topNSigma > 0;
    case "top_k":
      return options.topK > 0 && options.topK <= MOST_CANDIDATES;
    case "typ_p":
      return options.typicalP < 1;
    case "top_p":
      return options.topP < 1;
    case "min_p":
      return options.minP > 0;
    case "xtc":
      return options.xtcProbability > 0 && options.xtcThreshold <= 0.5;
    case "temperature":
      return true;
    case "adaptive_p":
      return options.adaptiveP !== undefined;
    default:
      return name satisfies never;
  }
}

function hasPenalty({ repeatPenalty, presencePenalty, frequencyPenalty }: SamplingOptions): boolean {
  return repeatPenalty !== 1 || presencePenalty !== 0 || frequencyPenalty !== 0;
}
