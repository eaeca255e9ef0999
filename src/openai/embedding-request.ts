import * as z from "zod";

import type { TokenizedParts } from "../domain/generation.ts";
import { readBody, schemaOf } from "./body.ts";
import { honoured, type Field } from "./field.ts";
import { integer, oneOf, string } from "./schemas.ts";
import { textList } from "./token-parts.ts";

/** OpenAI's limit. */
const MAX_INPUTS = 2048;

const emptyError = { error: "text or tokens: an input must not be empty" };
const input = textList(MAX_INPUTS, "inputs").refine((inputs) => inputs.every((parts) => !isEmpty(parts)), emptyError);

function isEmpty(parts: TokenizedParts): boolean {
  return parts.every((part) => part === "");
}

const SHARED = {
  model: honoured(string().optional(), "the served model's id or an alias; absent or empty is the served model"),
  embd_normalize: honoured(
    integer(-1, 1024).default(2),
    "-1 not at all, 0 to the range of 16-bit integers, 1 by the sum, 2 to length 1, above that by the p-norm",
  ),
} as const;

export const EMBEDDING_FIELDS = {
  input: honoured(input, "what to embed: a string, token ids, or an array of several such inputs"),
  ...SHARED,
  encoding_format: honoured(
    oneOf("float", "base64").default("float"),
    "numbers, or the bytes of little-endian 32-bit floats",
  ),
  dimensions: honoured(integer(1).optional(), "numbers of each vector; the rest is cut off"),
  user: { use: "accepted", schema: string().optional(), meaning: "no effect" },
} as const satisfies Record<string, Field>;

export const NATIVE_EMBEDDING_FIELDS = {
  content: honoured(input.optional(), "what to embed: a string, token ids, or an array of several such inputs"),
  input: honoured(input.optional(), "another name of content"),
  ...SHARED,
} as const;

const embeddingBody = z.object(schemaOf(EMBEDDING_FIELDS));
const nativeEmbeddingBody = z
  .object(schemaOf(NATIVE_EMBEDDING_FIELDS))
  .refine(({ content, input: other }) => content !== undefined || other !== undefined, {
    error: "what to embed: a string, token ids, or an array of several such inputs",
    path: ["content"],
  });

export interface EmbeddingRequest {
  readonly model: string | undefined;
  readonly inputs: readonly TokenizedParts[];
  readonly normalization: number;
  readonly dimensions: number | undefined;
  readonly isBase64: boolean;
  readonly ignored: readonly string[];
}

/** Body of POST /v1/embeddings. Errors: `invalid_type`, `invalid_value`, `missing_required_parameter`. */
export function parseEmbeddingRequest(body: unknown): EmbeddingRequest {
  const { fields, ignored } = readBody(EMBEDDING_FIELDS, embeddingBody, body);
  return {
    model: fields.model === "" ? undefined : fields.model,
    inputs: fields.input,
    normalization: fields.embd_normalize,
    dimensions: fields.dimensions,
    isBase64: fields.encoding_format === "base64",
    ignored,
  };
}

/** Body of POST /embedding. Errors: as parseEmbeddingRequest. */
export function parseNativeEmbeddingRequest(body: unknown): EmbeddingRequest {
  const { fields, ignored } = readBody(NATIVE_EMBEDDING_FIELDS, nativeEmbeddingBody, body);
  return {
    model: fields.model === "" ? undefined : fields.model,
    inputs: fields.content ?? fields.input ?? [],
    normalization: fields.embd_normalize,
    dimensions: undefined,
    isBase64: false,
    ignored,
  };
}
