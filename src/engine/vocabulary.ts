import { BreakerCache, findBreakers, type Breakers } from "./samplers/breakers.ts";
import { CodedError } from "../domain/errors.ts";
import { tokenBytes } from "./token-bytes.ts";
import {
  TOKEN_CONTROL,
  TOKEN_UNKNOWN,
  TOKEN_USER_DEFINED,
  VOCABULARY_TYPES,
  type NativeModel,
  type Token,
} from "./native.ts";

/** The model's tokens, and which of them text from a client must never become. */
export class Vocabulary {
  readonly size: number;
  readonly type: string;
  readonly #model: NativeModel;
  readonly #structural: RegExp | undefined;
  readonly #breakers = new BreakerCache((list) =>
    findBreakers(this.#allTexts, list, (text) => this.tokenizeContent(text)),
  );
  #texts: readonly string[] | undefined;
  #endTokens: readonly Token[] | undefined;
  #byteTokens: readonly (Token | undefined)[] | undefined;

  /** `template`: the chat template's source. A user-defined token that it writes, such as `<tool_call>`, is structure. */
  constructor(model: NativeModel, size: number, template: string) {
    this.#model = model;
    this.size = size;
    this.type = VOCABULARY_TYPES[model.getVocabularyType()] ?? "none";
    const texts: string[] = [];
    for (let token = 0; token < size; token++) {
      const attributes = model.getTokenAttributes(token);
      if ((attributes & (TOKEN_CONTROL | TOKEN_UNKNOWN | TOKEN_USER_DEFINED)) === 0) continue;
      const text = model.getTokenString(token);
      if (text === "") continue;
      if ((attributes & TOKEN_USER_DEFINED) === 0 || template.includes(text)) texts.push(text);
    }
    // Longest first, as the tokenizer prefers them.
    texts.sort((a, b) => b.length - a.length);
    this.#structural = texts.length === 0 ? undefined : new RegExp(texts.map(escapeRegExp).join("|"), "g");
  }

  /** Where the texts that no repetition reaches across may begin. */
  breakersOf(breakers: readonly string[]): Breakers {
    return this.#breakers.get(breakers);
  }

  get #allTexts(): readonly string[] {
    this.#texts ??= Array.from({ length: this.size }, (_, token) =>
      this.#model.detokenize(Uint32Array.of(token), true),
    );
    return this.#texts;
  }

  /** Byte-level vocabularies (BPE) make no token depend on its neighbours. */
  get isByteLevel(): boolean {
    return this.type === "bpe";
  }

  /** Tokens that end an answer. */
  get endTokens(): readonly Token[] {
    this.#endTokens ??= Array.from({ length: this.size }, (_, token) => token).filter((token) =>
      this.#model.isEogToken(token),
    );
    return this.#endTokens;
  }

  /** The first token of each single byte; undefined where there is none. */
  get byteTokens(): readonly (Token | undefined)[] {
    this.#byteTokens ??= this.#findByteTokens();
    return this.#byteTokens;
  }

  #findByteTokens(): (Token | undefined)[] {
    const found: (Token | undefined)[] = Array.from({ length: 256 }, () => undefined);
    let missing = found.length;
    for (let token = 0; token < this.size && missing > 0; token++) {
      if ((this.#model.getTokenAttributes(token) & (TOKEN_CONTROL | TOKEN_UNKNOWN)) !== 0) continue;
      const bytes = this.bytesOf(token);
      if (bytes.length !== 1 || found[bytes[0]!] !== undefined) continue;
      found[bytes[0]!] = token;
      missing -= 1;
    }
    return found;
  }

  /** The first of these texts that is a token's own. */
  tokenOf(texts: readonly string[]): Token | undefined {
    return texts
      .filter((text) => text !== "")
      .map((text) => [text, this.#model.tokenize(text, true)] as const)
      .find(([text, tokens]) => tokens.length === 1 && this.#model.getTokenString(tokens[0]!) === text)?.[1][0];
  }

  /** The tokens that have exactly these texts; a text that is no token's is passed over. */
  tokensOf(texts: readonly string[]): ReadonlySet<Token> {
    return new Set(texts.flatMap((text) => this.tokenOf([text]) ?? []));
  }

  /** Errors: `invalid_value` that names the first id which is no token's. */
  refuseUnknown(parts: readonly (string | number)[], param: string): void {
    const unknown = parts.find((part) => typeof part === "number" && !(part >= 0 && part < this.size));
    if (unknown === undefined) return;
    throw new CodedError(
      "invalid_value",
      `Invalid value for '${param}': expected token ids between 0 and ${this.size - 1}, got ${unknown}.`,
      { param },
    );
  }

  /** The structural tokens' texts found in a text, in order. */
  findStructure(text: string): readonly string[] {
    return this.#structural === undefined ? [] : (text.match(this.#structural) ?? []);
  }

  /** Tokens of text that is the template's own, control tokens parsed. */
  tokenizeTemplate(text: string): Uint32Array {
    return this.tokenizeText(text, true);
  }

  /** Tokens of text in the middle of an answer, control tokens parsed. */
  tokenizeFurther(text: string): Iterable<Token> {
    return this.#continue(text, 1, true);
  }

  /** The bytes of a token, control tokens spelled. */
  bytesOf(token: Token): Uint8Array {
    return tokenBytes(this.#model, token, this.isByteLevel);
  }

  /** Control tokens are written out. */
  textOf(tokens: readonly Token[]): string {
    return this.#model.detokenize(Uint32Array.from(tokens), true);
  }

  /** The tokenizer as it is. */
  tokenizeText(text: string, parseSpecial: boolean): Uint32Array {
    return this.#model.tokenize(text, parseSpecial);
  }

  /**
   * Tokens of text from a client: no control token, and no user-defined token that the template gives a meaning. The
   * tokenizer parses user-defined tokens even when asked not to, so their texts are cut after the first character.
   */
  tokenizeContent(text: string): Token[] {
    const pattern = this.#structural;
    if (pattern === undefined) return [...this.#model.tokenize(text, false)];
    const tokens: Token[] = [];
    let start = 0;
    for (const match of text.matchAll(pattern)) {
      const cut = match.index + String.fromCodePoint(match[0].codePointAt(0)!).length;
      // One by one: a call takes no hundred thousand arguments.
      for (const token of this.#continue(text.slice(start, cut), start)) tokens.push(token);
      start = cut;
    }
    for (const token of this.#continue(text.slice(start), start)) tokens.push(token);
    return tokens;
  }

  /** SentencePiece puts a space before each text it is given; only the first piece shall have it. */
  #continue(text: string, start: number, special = false): Iterable<Token> {
    if (text === "") return [];
    if (start === 0 || this.isByteLevel) return this.#model.tokenize(text, special);
    const lead = this.#model.tokenize("\n", false);
    const tokens = this.#model.tokenize(`\n${text}`, special);
    return lead.every((token, index) => tokens[index] === token) ? tokens.subarray(lead.length) : tokens;
  }
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}
