import { TOKEN_CONTROL, TOKEN_USER_DEFINED, type NativeModel, type Token } from "./native.ts";

/** Tokens as reports show them: the exact bytes, and a text that is always whole characters. */
export class TokenTexts {
  readonly #model: NativeModel;
  readonly #isByteLevel: boolean;
  readonly #known = new Map<Token, { readonly text: string; readonly bytes: readonly number[] }>();

  constructor(model: NativeModel, isByteLevel: boolean) {
    this.#model = model;
    this.#isByteLevel = isByteLevel;
  }

  describe(token: Token): { readonly text: string; readonly bytes: readonly number[] } {
    let known = this.#known.get(token);
    if (known === undefined) {
      const bytes = this.#bytesOf(token);
      known = { text: toText(bytes), bytes: [...bytes] };
      this.#known.set(token, known);
    }
    return known;
  }

  #bytesOf(token: Token): Uint8Array {
    const piece = this.#model.getTokenString(token);
    const isLiteral = (this.#model.getTokenAttributes(token) & (TOKEN_CONTROL | TOKEN_USER_DEFINED)) !== 0;
    if (isLiteral) return Buffer.from(piece);
    if (this.#isByteLevel) return fromByteLevel(piece);
    const byte = /^<0x([0-9A-F]{2})>$/.exec(piece)?.[1];
    return byte === undefined ? Buffer.from(piece.replaceAll("\u2581", " ")) : Uint8Array.of(Number.parseInt(byte, 16));
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

/** Byte-level vocabularies write each byte as one character. Source: GPT-2, encoder.py, bytes_to_unicode. */
const BYTE_OF = new Map<string, number>();
for (let byte = 0, moved = 256; byte < 256; byte++) {
  const isPrintable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  BYTE_OF.set(String.fromCodePoint(isPrintable ? byte : moved++), byte);
}

function fromByteLevel(piece: string): Uint8Array {
  return Uint8Array.from(
    Array.from(piece).flatMap((character) => BYTE_OF.get(character) ?? [...Buffer.from(character)]),
  );
}
