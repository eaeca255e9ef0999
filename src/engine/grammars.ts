import { CodedError } from "../domain/errors.ts";
import { checkGrammar } from "../grammar/gbnf-check.ts";
import { grammarFault } from "../grammar/gbnf-syntax.ts";
import { alphabetOf } from "./grammar-alphabet.ts";
import {
  TOKEN_CONTROL,
  TOKEN_UNKNOWN,
  type Native,
  type NativeGrammar,
  type NativeModel,
  type Token,
} from "./native.ts";
import type { ResolvedBias } from "./sampling.ts";
import type { Vocabulary } from "./vocabulary.ts";

const KEPT = 32;
/** Stronger than any logit, and still above the tokens that the grammar forbids. */
const LAST_RESORT = -1e9;
/**
 * Bytes that begin no character, and those after which some second bytes form none. llama.cpp's grammar takes
 * such bytes for the character that they spell the long way (C0 A2 for a quote), and the answer's text has none there.
 * In byte-level vocabularies these bytes are written as the letters of the same code.
 */
const UNSAFE_LETTERS = /[\u00c0\u00c1\u00f5-\u00ff]|[\u00e0\u00ed\u00f0\u00f4]$/;
const UNSAFE_BYTES = /^<0x(?:C[01]|F[05-9A-F]|F4|E0|ED)>$/i;

/** Compiled grammars of a model, the latest ones kept. */
export class Grammars {
  readonly #native: Native;
  readonly #model: NativeModel;
  readonly #vocabulary: Vocabulary;
  readonly #compiled = new Map<string, NativeGrammar>();
  readonly #alphabets = new WeakMap<NativeGrammar, readonly number[]>();
  #forbidden: readonly Token[] | undefined;

  constructor(native: Native, model: NativeModel, vocabulary: Vocabulary) {
    this.#native = native;
    this.#model = model;
    this.#vocabulary = vocabulary;
  }

  /** Errors: `invalid_grammar`, `not_supported` where the library's interface has none. */
  get(text: string): NativeGrammar {
    const grammar = this.#compiled.get(text) ?? this.#compile(text);
    // Last used is last in the map.
    this.#compiled.delete(text);
    this.#compiled.set(text, grammar);
    for (const oldest of this.#compiled.keys()) {
      if (this.#compiled.size <= KEPT) break;
      this.#compiled.delete(oldest);
    }
    return grammar;
  }

  /** See `alphabetOf`. */
  alphabetOf(grammar: NativeGrammar): readonly number[] {
    return this.#alphabets.get(grammar) ?? [];
  }

  /** Tokens that a grammar sees other characters in than the answer's text will have. */
  forbidden(): readonly Token[] {
    this.#forbidden ??= Array.from({ length: this.#vocabulary.size }, (_, token) => token).filter((token) =>
      this.#isUnsafe(token),
    );
    return this.#forbidden;
  }

  #compile(text: string): NativeGrammar {
    checkGrammar(text);
    try {
      const grammar = this.#native.compileGrammar(text);
      this.#alphabets.set(grammar, alphabetOf(text));
      return grammar;
    } catch (error) {
      if (error instanceof CodedError) throw error;
      throw grammarFault("llama.cpp cannot parse it");
    }
  }

  #isUnsafe(token: Token): boolean {
    if (this.#model.isEogToken(token)) return false;
    // Control tokens have a spelling for the grammar and no text for the answer.
    if ((this.#model.getTokenAttributes(token) & (TOKEN_CONTROL | TOKEN_UNKNOWN)) !== 0) return true;
    const unsafe = this.#vocabulary.isByteLevel ? UNSAFE_LETTERS : UNSAFE_BYTES;
    return unsafe.test(this.#model.getTokenString(token));
  }
}

/** Biases under a grammar. A forbidden end is then the last resort: where the grammar can only end, it ends. */
export function constrainBias(
  bias: ResolvedBias,
  forbidden: readonly Token[],
  endTokens: Iterable<Token>,
): ResolvedBias {
  const constrained = new Map(bias);
  for (const token of endTokens) if (constrained.get(token) === -Infinity) constrained.set(token, LAST_RESORT);
  for (const token of forbidden) constrained.set(token, -Infinity);
  return constrained;
}
