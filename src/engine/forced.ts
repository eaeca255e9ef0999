/**
 * What a grammar forces. Where it allows one text only, as between the values of a JSON object, that text becomes tokens
 * at once, as the tokenizer cuts it, and nothing is drawn: all of them are evaluated in one pass
 * (docs/decisions/0021-tokens-without-a-pass.md).
 */
import type { Constraint } from "./constraint.ts";
import type { Native, NativeContext, NativeGrammarState, Token } from "./native.ts";
import type { Sampler } from "./sampler.ts";

/** Most bytes that are looked for at once; what is forced beyond is found with the next row. Fewer tokens than a tile. */
const LONGEST = 48;
/** A word may go on for longer than the one character that is tried: the last such token is left to the model. */
const OPEN_END = /[\sA-Za-z0-9_]$/;

export interface ForcedParts {
  readonly native: Native;
  readonly constraint: Constraint;
  /** See `alphabetOf`. */
  readonly alphabet: readonly number[];
  readonly vocabulary: ForcedVocabulary;
}

export interface ForcedVocabulary {
  /** The token of each single byte; undefined where the vocabulary lacks one. */
  readonly byteTokens: readonly (Token | undefined)[];
  readonly endTokens: readonly Token[];
  /** Tokens of text in the middle of an answer, structure included. */
  tokenizeFurther(text: string): Iterable<Token>;
  bytesOf(token: Token): Uint8Array;
}

interface ForcedText {
  readonly text: string;
  /** Only an end may follow. */
  readonly isEnd: boolean;
  /** Where it ends in the grammar; undefined where there may be more of it. */
  readonly state: NativeGrammarState | undefined;
}

/** Finds the tokens that a grammar leaves no choice about. */
export class ForcedTokens {
  readonly #parts: ForcedParts;

  constructor(parts: ForcedParts) {
    this.#parts = parts;
  }

  /** The next tokens, an end token last where only the end is left. The constraint's state stays as it is. */
  find(): readonly Token[] {
    const { native, constraint, vocabulary } = this.#parts;
    const { state } = constraint;
    if (state === undefined || this.#parts.alphabet.length === 0) return [];
    const found = this.#text(state);
    const end = found.isEnd ? vocabulary.endTokens.slice(0, 1) : [];
    if (found.text === "") return end;
    const tokens = this.#settled(found);
    const trial = native.copyGrammarState(state);
    for (const [index, token] of tokens.entries()) {
      if (constraint.forbids(token) || !native.grammarAllows(trial, token)) return tokens.slice(0, index);
      native.grammarAccept(trial, token);
    }
    return [...tokens, ...end];
  }

  /** The tokens that stay the same whatever comes after the text. */
  #settled({ text, isEnd, state }: ForcedText): Token[] {
    const { vocabulary } = this.#parts;
    let tokens = [...vocabulary.tokenizeFurther(text)];
    if (isEnd) return tokens;
    for (const next of state === undefined ? [] : this.#allowed(state)) {
      const longer = [...vocabulary.tokenizeFurther(text + next)];
      const changed = tokens.findIndex((token, index) => longer[index] !== token);
      if (changed >= 0) tokens = tokens.slice(0, changed);
    }
    const bytes = Buffer.concat(tokens.map((token) => vocabulary.bytesOf(token)));
    const isWhole = bytes.length >= text.length;
    if (isWhole && (state === undefined || OPEN_END.test(text))) tokens.pop();
    return tokens;
  }

  /** Characters that may come next, as far as the alphabet shows them. */
  #allowed(state: NativeGrammarState): string[] {
    const { native, alphabet, vocabulary } = this.#parts;
    return alphabet.flatMap((byte) => {
      const token = vocabulary.byteTokens[byte];
      const isAllowed = byte < 0x80 && token !== undefined && native.grammarAllows(state, token);
      return isAllowed ? [String.fromCharCode(byte)] : [];
    });
  }

  #text(start: NativeGrammarState): ForcedText {
    const { native, vocabulary } = this.#parts;
    let state = start;
    let text = "";
    while (text.length < LONGEST) {
      const only = this.#only(state);
      if (only === "end") return { text, isEnd: true, state };
      if (only === undefined) return { text, isEnd: false, state };
      if (text === "") state = native.copyGrammarState(start);
      native.grammarAccept(state, vocabulary.byteTokens[only]!);
      text += String.fromCharCode(only);
    }
    return { text, isEnd: false, state: undefined };
  }

  /** The one byte that may come next, or that nothing but an end may; undefined where there is a choice. */
  #only(state: NativeGrammarState): number | "end" | undefined {
    const { native, alphabet, vocabulary } = this.#parts;
    let only: number | undefined;
    for (const byte of alphabet) {
      const token = vocabulary.byteTokens[byte];
      if (token === undefined) return undefined;
      if (!native.grammarAllows(state, token)) continue;
      if (only !== undefined || byte >= 0x80) return undefined;
      only = byte;
    }
    const [end] = vocabulary.endTokens;
    const mayEnd = end !== undefined && native.grammarAllows(state, end);
    if (only === undefined) return mayEnd ? "end" : undefined;
    return mayEnd ? undefined : only;
  }
}

/** Takes what is forced, and lets another sampler draw the rest. */
export class ForcedDraw implements Sampler {
  readonly #sampler: Sampler;
  readonly #forced: ForcedTokens;
  readonly #accept: (token: Token) => void;
  #known: Token[] | undefined;

  /** `accept`: tells sampler and grammar of a token that was not drawn; not called for an end. */
  constructor(sampler: Sampler, forced: ForcedTokens, accept: (token: Token) => void) {
    this.#sampler = sampler;
    this.#forced = forced;
    this.#accept = accept;
  }

  async sample(context: NativeContext, row: number): Promise<Token> {
    const known = this.#look();
    const token = known.shift();
    if (known.length === 0) this.#known = undefined;
    return token ?? this.#sampler.sample(context, row);
  }

  ahead(): readonly Token[] {
    const known = this.#look();
    if (known.length > 0) this.#known = undefined;
    return known;
  }

  dispose(): void {
    this.#sampler.dispose();
  }

  #look(): Token[] {
    if (this.#known !== undefined) return this.#known;
    const tokens = [...this.#forced.find()];
    for (const token of tokens) this.#accept(token);
    return (this.#known = tokens);
  }
}
