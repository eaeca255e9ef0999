import * as z from "zod";

import type { TokenizeOptions } from "../domain/engine.ts";
import type { TokenizedParts } from "../domain/generation.ts";
import { readBody, schemaOf } from "./body.ts";
import { honoured } from "./field.ts";
import { boolean } from "./schemas.ts";
import { tokenizedParts } from "./token-parts.ts";

const contentError = { error: "a string, or an array of strings and token ids" };

export const TOKENIZE_FIELDS = {
  content: honoured(z.union([z.string(), tokenizedParts], contentError), "a text, or texts and token ids in order"),
  add_special: honoured(boolean().default(false), "put the model's own first token in front"),
  parse_special: honoured(boolean().default(true), "read control tokens that the text writes out"),
  with_pieces: honoured(boolean().default(false), "give each token's text, or its bytes where these are no text"),
} as const;

const tokensError = { error: "an array of token ids" };
const idError = { error: "a token's id" };

export const DETOKENIZE_FIELDS = {
  tokens: honoured(z.array(z.int(idError).min(0, idError), tokensError), "token ids"),
} as const;

const tokenizeBody = z.object(schemaOf(TOKENIZE_FIELDS));
const detokenizeBody = z.object(schemaOf(DETOKENIZE_FIELDS));

export interface TokenizeRequest {
  readonly parts: TokenizedParts;
  readonly options: TokenizeOptions;
  readonly withPieces: boolean;
  readonly ignored: readonly string[];
}

/** Errors: `invalid_type`, `invalid_value`, `missing_required_parameter`. */
export function parseTokenizeRequest(body: unknown): TokenizeRequest {
  const { fields, ignored } = readBody(TOKENIZE_FIELDS, tokenizeBody, body);
  return {
    parts: [fields.content].flat(),
    options: { addSpecial: fields.add_special, parseSpecial: fields.parse_special },
    withPieces: fields.with_pieces,
    ignored,
  };
}

/** Errors: as parseTokenizeRequest. */
export function parseDetokenizeRequest(body: unknown): { tokens: readonly number[]; ignored: readonly string[] } {
  const { fields, ignored } = readBody(DETOKENIZE_FIELDS, detokenizeBody, body);
  return { tokens: fields.tokens, ignored };
}

/** A piece is a string, or an array of bytes where it is no valid UTF-8. */
export function toTokenList(tokens: readonly number[], pieces: readonly Uint8Array[] | undefined) {
  if (pieces === undefined) return { tokens };
  return { tokens: tokens.map((id, index) => ({ id, piece: toPiece(pieces[index]!) })) };
}

function toPiece(bytes: Uint8Array): string | number[] {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return [...bytes];
  }
}
