import {
  TOKEN_BYTE,
  TOKEN_CONTROL,
  TOKEN_UNKNOWN,
  TOKEN_USER_DEFINED,
  type NativeModel,
  type Token,
} from "./native.ts";

/** What SentencePiece writes for a space. */
const SPACE_MARK = "\u2581";

/**
 * GPT-2's letters for bytes: printable bytes are themselves, the others follow from U+0100 on. Byte-level vocabularies
 * spell their tokens in these letters.
 */
const BYTE_OF_LETTER = new Map<number, number>();
for (let byte = 0, next = 0x100; byte < 0x100; byte++) {
  const isPrintable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
  BYTE_OF_LETTER.set(isPrintable ? byte : next++, byte);
}

/** The bytes that a token stands for; part of a character, for some. */
export function tokenBytes(model: NativeModel, token: Token, isByteLevel: boolean): Uint8Array {
  const text = model.getTokenString(token);
  const attributes = model.getTokenAttributes(token);
  if ((attributes & TOKEN_BYTE) !== 0) return Uint8Array.of(Number.parseInt(text.slice(3, 5), 16));
  // These are spelled as they are.
  if ((attributes & (TOKEN_CONTROL | TOKEN_UNKNOWN | TOKEN_USER_DEFINED)) !== 0) return Buffer.from(text);
  if (!isByteLevel) return Buffer.from(text.replaceAll(SPACE_MARK, " "));
  return Uint8Array.from(Array.from(text, (letter) => BYTE_OF_LETTER.get(letter.codePointAt(0)!) ?? 0x3f));
}
