import type { NativeModel, Token } from "./native.ts";

const BROKEN_END = /\uFFFD+$/;
/** A UTF-8 character has at most 4 bytes, so at most 4 tokens; what is still broken after that stays broken. */
const MAX_PENDING = 4;
/** Tokens before the new ones that SentencePiece vocabularies need to place a leading space. */
const CONTEXT_TOKENS = 3;

/** Turns a stream of tokens into text, never cutting a character: tokens wait until their bytes are complete. */
export class Detokenizer {
  readonly #model: NativeModel;
  readonly #contextTokens: number;
  readonly #visible: ReadonlySet<Token>;
  #context: Token[];
  #contextText: string;
  #pending: Token[] = [];
  /** Characters of the pending tokens' text that were sent. */
  #sent = 0;
  /** Tokens since the incomplete character began. */
  #stalled = 0;

  /** `before`: the end of the prompt. `byteLevel`: a vocabulary whose tokens are bytes, so that none depends on another. `visible`: control tokens to show. */
  constructor(
    model: NativeModel,
    before: readonly Token[],
    byteLevel: boolean,
    visible: ReadonlySet<Token> = new Set(),
  ) {
    this.#model = model;
    this.#visible = visible;
    this.#contextTokens = byteLevel ? 0 : CONTEXT_TOKENS;
    this.#context = byteLevel ? [] : before.slice(-CONTEXT_TOKENS);
    this.#contextText = byteLevel ? "" : model.detokenize(Uint32Array.from(this.#context));
  }

  push(token: Token): string {
    // Control tokens are whole texts, which stand for themselves.
    if (this.#visible.has(token)) return this.flush() + this.#model.detokenize(Uint32Array.of(token), true);
    this.#pending.push(token);
    this.#stalled += 1;
    const text = this.#text();
    const whole = text.replace(BROKEN_END, "");
    const piece = whole.slice(this.#sent);
    if (whole.length === text.length || (piece === "" && this.#stalled >= MAX_PENDING)) {
      const rest = text.slice(this.#sent);
      this.#settle();
      return rest;
    }
    if (piece !== "") {
      this.#sent = whole.length;
      this.#stalled = 1;
      if (this.#contextTokens === 0) this.#keepLast(text.length - whole.length);
    }
    return piece;
  }

  /** Text of tokens that still wait; bytes that are no whole character are left out. */
  flush(): string {
    if (this.#pending.length === 0) return "";
    const rest = this.#text().replace(BROKEN_END, "").slice(this.#sent);
    this.#settle();
    return rest;
  }

  /** The last token ended one character and began the next, as tokens of many scripts do: only its end still waits. */
  #keepLast(waiting: number): void {
    this.#pending = this.#pending.slice(-1);
    // Alone, its first bytes may be the end of a character that was sent.
    this.#sent = this.#text().length - waiting;
  }

  #text(): string {
    const joined = this.#model.detokenize(Uint32Array.from([...this.#context, ...this.#pending]));
    if (joined.startsWith(this.#contextText)) return joined.slice(this.#contextText.length);
    return this.#model.detokenize(Uint32Array.from(this.#pending));
  }

  #settle(): void {
    const settled = this.#pending;
    this.#pending = [];
    this.#sent = 0;
    this.#stalled = 0;
    if (this.#contextTokens === 0) return;
    this.#context = [...this.#context, ...settled].slice(-this.#contextTokens);
    this.#contextText = this.#model.detokenize(Uint32Array.from(this.#context));
  }
}
