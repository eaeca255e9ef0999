import type { SamplingOptions } from "../domain/generation.ts";
import type { Constraint } from "./constraint.ts";
import { ListReader } from "./list-reader.ts";
import type { Native, NativeContext, NativeGrammarState, NativeModel, NativeSamplerConfig, Token } from "./native.ts";
import type { Sampler } from "./sampler.ts";
import { Candidates, ListTooShort } from "./samplers/candidates.ts";
import { Chain, type ChainInputs, type Draws } from "./samplers/chain.ts";
import { planList, type ListPlan } from "./samplers/plan.ts";
import { Random, xtcRandom } from "./samplers/random.ts";

const GROWTH = 8;
/** Up to here the native side finds the best of a row at half the cost (measured: 0.4 ms of 152k tokens, then 0.9). */
const SHORT_LENGTH = 128;

export interface ComputedInputs extends ChainInputs {
  readonly seed: bigint;
  /** The biases, while the answer is free and while a grammar governs it. */
  readonly bias: Partial<NativeSamplerConfig>;
  readonly governedBias: Partial<NativeSamplerConfig>;
  readonly constraint: Constraint | undefined;
  readonly isEndToken: (token: Token) => boolean;
  /** Told of each token that was drawn, and of what the samplers left to draw from. */
  readonly onDrawn?: (token: Token, left: Candidates) => void;
}

/**
 * A chain computed here, for what the native one does not have. The native side gives the likeliest tokens, in order,
 * and the weight of all; it never learns which token was chosen, so penalties are computed here too. A token that the
 * constraint does not allow is drawn again from those that it does, as in llama.cpp: only then are all tokens tested.
 */
export class ComputedDraw implements Sampler {
  readonly #chain: Chain;
  readonly #plan: ListPlan;
  readonly #lists: ListReader;
  readonly #inputs: ComputedInputs;
  /** Length of the next row's first list: short where the samplers lately left little. */
  #length: number;
  /** What the samplers left of the last row. */
  #left: Candidates | undefined;
  readonly #choices: Random;
  readonly #xtc: Random;
  /** For what is drawn again: how often that happens must not move the other numbers. */
  readonly #again: Random;

  constructor(native: Native, model: NativeModel, options: SamplingOptions, inputs: ComputedInputs) {
    this.#chain = new Chain(options, inputs);
    this.#plan = planList(options);
    this.#length = this.#plan.length;
    this.#lists = new ListReader(native, model, { massAt: this.#plan.massAt, vocabularySize: inputs.vocabularySize });
    this.#inputs = inputs;
    this.#choices = new Random(inputs.seed);
    this.#xtc = xtcRandom(inputs.seed);
    this.#again = new Random(inputs.seed ^ 0x6167_6169_6e00n);
  }

  async sample(context: NativeContext, row: number): Promise<Token> {
    const { constraint } = this.#inputs;
    const draws: Draws = { choice: this.#choices.next(), xtc: this.#xtc.next() };
    const again: Draws = { choice: this.#again.next(), xtc: draws.xtc };
    const token = await this.#draw(context, row, draws, undefined);
    if (constraint === undefined || token < 0 || constraint.allows(token)) return this.#take(token);
    return this.#take(await this.#draw(context, row, again, constraint));
  }

  /** The answer goes on with a token that was not drawn, as nothing else could be. */
  tell(token: Token): void {
    this.#left = new Candidates(Uint32Array.of(token), Float64Array.of(0), true, undefined);
    this.#take(token);
  }

  dispose(): void {
    this.#lists.dispose();
  }

  #take(token: Token): Token {
    if (token < 0) return token;
    // An end has no place in a grammar's state.
    if (!this.#inputs.isEndToken(token)) this.#inputs.constraint?.accept(token);
    this.#chain.accept(token);
    if (this.#left !== undefined) this.#inputs.onDrawn?.(token, this.#left);
    return token;
  }

  /** Where samplers cut a list by themselves, the next row probably needs as much. */
  #suit({ length, isWhole }: Candidates, wasWhole: boolean): void {
    const isShort = isWhole && !wasWhole && 2 * length <= SHORT_LENGTH;
    this.#length = isShort ? Math.min(SHORT_LENGTH, this.#plan.length) : this.#plan.length;
  }

  async #draw(context: NativeContext, row: number, draws: Draws, constraint: Constraint | undefined): Promise<Token> {
    const { bias, governedBias, vocabularySize } = this.#inputs;
    const isGoverned = this.#inputs.constraint?.state !== undefined;
    const grammar: NativeGrammarState | undefined = constraint?.state;
    let length = this.#length + this.#chain.moved;
    for (;;) {
      const list = await this.#lists.read(context, row, { length, bias: isGoverned ? governedBias : bias, grammar });
      // A grammar that sleeps forbids a few tokens at most; they are in no state that the native side could test.
      if (constraint !== undefined && grammar === undefined) list.remove((token) => !constraint.allows(token));
      const { isWhole } = list;
      if (list.length === 0 && (isWhole || grammar !== undefined)) return -1;
      try {
        if (list.length === 0) throw new ListTooShort();
        const token = this.#chain.choose(list, draws);
        this.#left = list;
        this.#suit(list, isWhole);
        return token;
      } catch (error) {
        if (!(error instanceof ListTooShort) || isWhole) throw error;
      }
      length = Math.min(length * GROWTH, vocabularySize);
    }
  }
}
