import type { PromptToken } from "../domain/generation.ts";
import { ChanceReader } from "./chances.ts";
import type { Native, NativeContext, NativeModel, Token } from "./native.ts";
import type { TokenTexts } from "./token-texts.ts";

/** Notes how likely the model found each token of a prompt, while the prompt is evaluated. */
export class PromptReader {
  readonly #reader: ChanceReader;
  readonly #prompt: readonly Token[];
  readonly #noted: PromptToken[];

  /** `count`: likeliest tokens to list beside each. */
  constructor(native: Native, model: NativeModel, texts: TokenTexts, prompt: readonly Token[], count: number) {
    this.#reader = new ChanceReader(native, model, texts, count);
    this.#prompt = prompt;
    this.#noted = prompt.slice(0, 1).map((token) => texts.describe(token));
  }

  /** All tokens of the prompt, once all of it was read. */
  get tokens(): readonly PromptToken[] {
    return this.#noted;
  }

  /** `rows`: of the prompt's tokens from `from` on. The row of a token tells how likely the next one is. */
  async read(context: NativeContext, rows: Uint32Array, from: number): Promise<void> {
    for (const [index, row] of rows.entries()) {
      const next = this.#prompt[from + index + 1];
      if (next !== undefined) this.#noted.push(await this.#reader.read(context, row, next));
    }
  }

  dispose(): void {
    this.#reader.dispose();
  }
}
