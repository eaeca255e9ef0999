import type { Embedding } from "../domain/engine.ts";
import { CodedError } from "../domain/errors.ts";
import type { EmbeddingRequest } from "./embedding-request.ts";

/** Source: llama.cpp, common/common.cpp, common_embd_normalize. */
const INT16_RANGE = 32_760;
const EUCLIDEAN = 2;

/** `normalization` is llama.cpp's `embd_normalize`. A vector of zeros stays one. */
export function normalized(vector: Float32Array, normalization: number): Float32Array {
  if (normalization < 0) return vector;
  const size = sizeOf(vector, normalization);
  return vector.map((value) => (size > 0 ? value / size : 0));
}

function sizeOf(vector: Float32Array, normalization: number): number {
  if (normalization === 0) return vector.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / INT16_RANGE;
  if (normalization === EUCLIDEAN) return Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  return vector.reduce((sum, value) => sum + Math.abs(value) ** normalization, 0) ** (1 / normalization);
}

/** POST /v1/embeddings' answer. */
export function toEmbeddingList(request: EmbeddingRequest, model: string, embeddings: readonly Embedding[]) {
  const tokens = countTokens(embeddings);
  return {
    object: "list",
    model,
    data: embeddings.map(({ vector }, index) => {
      const { normalization, dimensions, isBase64 } = request;
      const shaped = normalized(dimensions === undefined ? vector : vector.slice(0, dimensions), normalization);
      return { object: "embedding", index, embedding: isBase64 ? toBase64(shaped) : [...shaped] };
    }),
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  };
}

/** POST /embedding's answer: llama.cpp's, where a vector is a row of a matrix. */
export function toNativeEmbeddings({ normalization }: EmbeddingRequest, embeddings: readonly Embedding[]) {
  return embeddings.map(({ vector }, index) => ({ index, embedding: [[...normalized(vector, normalization)]] }));
}

export function countTokens(embeddings: readonly Embedding[]): number {
  return embeddings.reduce((sum, { tokens }) => sum + tokens, 0);
}

/** Errors: `invalid_value` where more numbers are wanted than the model makes. */
export function refuseDimensions(dimensions: number | undefined, most: number): void {
  if (dimensions === undefined || dimensions <= most) return;
  throw new CodedError(
    "invalid_value",
    `Invalid value for 'dimensions': expected an integer between 1 and ${most}, got ${dimensions}.`,
    { param: "dimensions" },
  );
}

function toBase64(vector: Float32Array): string {
  const bytes = Buffer.alloc(vector.length * 4);
  for (const [index, value] of vector.entries()) bytes.writeFloatLE(value, index * 4);
  return bytes.toString("base64");
}
