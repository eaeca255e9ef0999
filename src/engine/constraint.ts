import type { Native, NativeGrammar, NativeGrammarState, NativeModel, Token } from "./native.ts";

/** What an answer has to follow, token by token. */
export interface Constraint {
  /** The state of the grammar that governs the next token; undefined while the answer is free. */
  readonly state: NativeGrammarState | undefined;
  /** `state` governs every token, so that the native chain can hold it. */
  readonly isWhole: boolean;
  /** Whether a grammar may never use a token, as it would read other characters in it. */
  forbids(token: Token): boolean;
  /** Whether the answer may go on with a token, or end with one. */
  allows(token: Token): boolean;
  /** Only for a token that is allowed, and that does not end the answer. */
  accept(token: Token): void;
}

export interface ConstraintParts {
  readonly native: Native;
  readonly model: NativeModel;
  readonly grammar: NativeGrammar;
  /** Tokens that a grammar reads other characters in than the answer's text will have. */
  readonly forbidden: ReadonlySet<Token>;
}

/** The grammar governs all of the answer. */
export class WholeConstraint implements Constraint {
  readonly state: NativeGrammarState;
  readonly isWhole = true;
  readonly #native: Native;
  readonly #forbidden: ReadonlySet<Token>;

  constructor({ native, model, grammar, forbidden }: ConstraintParts) {
    this.#native = native;
    this.#forbidden = forbidden;
    this.state = native.createGrammarState(model, grammar);
  }

  forbids(token: Token): boolean {
    return this.#forbidden.has(token);
  }

  allows(token: Token): boolean {
    return !this.#forbidden.has(token) && this.#native.grammarAllows(this.state, token);
  }

  accept(token: Token): void {
    this.#native.grammarAccept(this.state, token);
  }
}

/**
 * The grammar sleeps until the answer's text holds a trigger, and then reads the text from the trigger's beginning on. A
 * trigger may lie across tokens, and begin or end inside of one: a token that completes a trigger is allowed only if
 * what it brings beyond the trigger fits too. Texts are handled as bytes, one character each.
 */
export class LazyConstraint implements Constraint {
  readonly isWhole = false;
  readonly #parts: ConstraintParts;
  readonly #bytesOf: (token: Token) => string;
  readonly #tokenize: (text: string) => Iterable<Token>;
  readonly #triggers: readonly string[];
  readonly #kept: number;
  #tail = "";
  #awake: NativeGrammarState | undefined;

  constructor(
    parts: ConstraintParts,
    triggers: readonly string[],
    vocabulary: { bytesOf(token: Token): Uint8Array; tokenizeTemplate(text: string): Iterable<Token> },
  ) {
    this.#parts = parts;
    this.#bytesOf = (token) => Buffer.from(vocabulary.bytesOf(token)).toString("latin1");
    this.#tokenize = (text) => vocabulary.tokenizeTemplate(text);
    this.#triggers = triggers.map((trigger) => Buffer.from(trigger).toString("latin1")).filter((text) => text !== "");
    this.#kept = Math.max(0, ...this.#triggers.map(({ length }) => length - 1));
  }

  get state(): NativeGrammarState | undefined {
    return this.#awake;
  }

  forbids(token: Token): boolean {
    return this.#parts.forbidden.has(token);
  }

  allows(token: Token): boolean {
    const { native, model, forbidden } = this.#parts;
    if (this.#awake !== undefined) return !forbidden.has(token) && native.grammarAllows(this.#awake, token);
    if (model.isEogToken(token)) return true;
    const governed = this.#governed(token);
    return governed === undefined || this.#stateAfter(governed) !== undefined;
  }

  accept(token: Token): void {
    if (this.#awake !== undefined) {
      this.#parts.native.grammarAccept(this.#awake, token);
      return;
    }
    const governed = this.#governed(token);
    if (governed !== undefined) this.#awake = this.#stateAfter(governed);
    else if (this.#kept > 0) this.#tail = (this.#tail + this.#bytesOf(token)).slice(-this.#kept);
  }

  /** The text from the first trigger on, where the token completes one. */
  #governed(token: Token): string | undefined {
    const text = this.#tail + this.#bytesOf(token);
    const places = this.#triggers.map((trigger) => text.indexOf(trigger)).filter((place) => place >= 0);
    return places.length === 0 ? undefined : text.slice(Math.min(...places));
  }

  /** The grammar reads characters, so any tokens that spell the text will do. Undefined where it does not fit. */
  #stateAfter(text: string): NativeGrammarState | undefined {
    const { native, model, grammar } = this.#parts;
    const bytes = Buffer.from(text, "latin1");
    const characters = bytes.toString();
    // A token that ends inside a character cannot be spelled by others: another one has to complete the trigger.
    if (!Buffer.from(characters).equals(bytes)) return undefined;
    const state = native.createGrammarState(model, grammar);
    for (const token of this.#tokenize(characters)) {
      if (!native.grammarAllows(state, token)) return undefined;
      native.grammarAccept(state, token);
    }
    return state;
  }
}
