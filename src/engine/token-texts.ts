import type { LikelyToken } from "../domain/generation.ts";
import type { NativeModel, Token } from "./native.ts";
import { tokenBytes } from "./token-bytes.ts";

type TokenText = Omit<LikelyToken, "logprob">;

/** Tokens as reports show them: the exact bytes, and a text that is always whole characters. */
export class TokenTexts {
  readonly #model: NativeModel;
  readonly #isByteLevel: boolean;
  readonly #known = new Map<Token, TokenText>();

  constructor(model: NativeModel, isByteLevel: boolean) {
    this.#model = model;
    this.#isByteLevel = isByteLevel;
  }

  describe(token: Token): TokenText {
    let known = this.#known.get(token);
    if (known === undefined) {
      const bytes = tokenBytes(this.#model, token, this.#isByteLevel);
      known = { id: token, text: toText(bytes), bytes: [...bytes] };
      this.#known.set(token, known);
    }
    return known;
  }
}

/** Bytes that are no whole characters are written as OpenAI does: `\xf0\x9f`. */
function toText(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return Array.from(bytes, (byte) => String.raw`\x${byte.toString(16).padStart(2, "0")}`).join("");
  }
}
