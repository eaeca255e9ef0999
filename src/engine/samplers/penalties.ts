import type { Token } from "../native.ts";
import type { Candidates } from "./candidates.ts";

export interface PenaltyOptions {
  readonly repeat: number;
  readonly presence: number;
  readonly frequency: number;
  /** Tokens of prompt and answer that count. */
  readonly window: number;
}

/** llama.cpp's repeat, presence and frequency penalties over the last tokens. */
export class Penalties {
  readonly #options: PenaltyOptions;
  readonly #recent: Token[];
  readonly #counts = new Map<Token, number>();

  constructor(options: PenaltyOptions, prompt: readonly Token[]) {
    this.#options = options;
    this.#recent = [];
    for (const token of prompt.slice(-options.window)) this.accept(token);
  }

  /** Tokens whose logits change. */
  get affected(): number {
    return this.#counts.size;
  }

  accept(token: Token): void {
    this.#recent.push(token);
    this.#counts.set(token, (this.#counts.get(token) ?? 0) + 1);
    if (this.#recent.length <= this.#options.window) return;
    const old = this.#recent.shift()!;
    const count = this.#counts.get(old)! - 1;
    if (count === 0) this.#counts.delete(old);
    else this.#counts.set(old, count);
  }

  apply(list: Candidates): void {
    const { repeat, presence, frequency } = this.#options;
    list.change((token, logit) => {
      const count = this.#counts.get(token);
      if (count === undefined) return logit;
      return (logit <= 0 ? logit * repeat : logit / repeat) - count * frequency - presence;
    });
  }
}
