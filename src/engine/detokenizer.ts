import type { NativeModel, Token } from "./native.ts";

const REPLACEMENT = "\uFFFD";
/** A UTF-8 character has at most 4 bytes, so at most 4 tokens; what is still broken after that stays broken. */
const MAX_PENDING = 4;
/** Tokens before the new ones that SentencePiece vocabularies need to place a leading space. */
const CONTEXT_TOKENS = 3;

/** Turns a stream of tokens into text, never cutting a character: tokens wait until their bytes are complete. */
export class Detokenizer {
  readonly #model: NativeModel;
  readonly #contextTokens: number;
  #context: Token[];
  #contextText: string;
  #pending: Token[] = [];

  /** `before`: the end of the prompt. `byteLevel`: a vocabulary whose tokens are bytes, so that none depends on another. */
  constructor(model: NativeModel, before: readonly Token[], byteLevel: boolean) {
    this.#model = model;
    this.#contextTokens = byteLevel ? 0 : CONTEXT_TOKENS;
    this.#context = byteLevel ? [] : before.slice(-CONTEXT_TOKENS);
    this.#contextText = byteLevel ? "" : model.detokenize(Uint32Array.from(this.#context));
  }

  push(token: Token): string {
    this.#pending.push(token);
    const text = this.#text();
    if (text.endsWith(REPLACEMENT) && this.#pending.length < MAX_PENDING) return "";
    this.#settle();
    return text;
  }

  /** Text of tokens that still wait; bytes that are no whole character are left out. */
  flush(): string {
    if (this.#pending.length === 0) return "";
    const text = this.#text().replace(/\uFFFD+$/, "");
    this.#settle();
    return text;
  }

  #text(): string {
    const joined = this.#model.detokenize(Uint32Array.from([...this.#context, ...this.#pending]));
    if (joined.startsWith(this.#contextText)) return joined.slice(this.#contextText.length);
    return this.#model.detokenize(Uint32Array.from(this.#pending));
  }

  #settle(): void {
    const settled = this.#pending;
    this.#pending = [];
    if (this.#contextTokens === 0) return;
    this.#context = [...this.#context, ...settled].slice(-this.#contextTokens);
    this.#contextText = this.#model.detokenize(Uint32Array.from(this.#context));
  }
}
