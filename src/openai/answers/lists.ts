import * as z from "zod";

import { count, seconds } from "./common.ts";

const tokens = z.strictObject({ prompt_tokens: count, total_tokens: count });
const vector = z.array(z.number());

export const embeddingList = z.strictObject({
  object: z.literal("list"),
  model: z.string(),
  data: z.array(
    z.strictObject({
      object: z.literal("embedding"),
      index: count,
      embedding: z.union([vector, z.string().describe("base64 of little-endian 32-bit floats")]),
    }),
  ),
  usage: tokens,
});
export const nativeEmbeddings = z.array(z.strictObject({ index: count, embedding: z.array(vector) }));

export const ranking = z.union([
  z.strictObject({
    object: z.literal("list"),
    model: z.string(),
    method: z.literal("embedding_similarity").optional(),
    results: z.array(
      z.strictObject({
        index: count,
        relevance_score: z.number(),
        document: z.strictObject({ text: z.string() }).optional(),
      }),
    ),
    usage: tokens,
  }),
  z
    .array(z.strictObject({ index: count, score: z.number(), text: z.string().optional() }))
    .describe("the form of Text Embeddings Inference, for requests with `texts`"),
]);

export const model = z.strictObject({
  id: z.string(),
  object: z.literal("model"),
  created: seconds,
  owned_by: z.string(),
  type: z.literal("model"),
  display_name: z.string(),
  created_at: z.string(),
  aliases: z.array(z.string()),
  meta: z.strictObject({
    vocab_type: z.string(),
    n_vocab: count,
    n_ctx: count,
    n_ctx_train: count,
    n_embd: count,
    n_params: count,
    size: count,
    ftype: z.string(),
  }),
});
export const modelList = z.strictObject({
  object: z.literal("list"),
  data: z.array(model),
  has_more: z.literal(false),
  first_id: z.string(),
  last_id: z.string(),
  models: z.array(
    z.strictObject({
      name: z.string(),
      model: z.string(),
      modified_at: z.string(),
      size: count,
      type: z.literal("model"),
      capabilities: z.array(z.string()),
      details: z.strictObject({
        format: z.literal("gguf"),
        parameter_size: z.string(),
        quantization_level: z.string(),
      }),
    }),
  ),
});

const piece = z.union([z.string(), z.array(z.int().min(0).max(255))]);
export const tokenList = z.strictObject({
  tokens: z.union([z.array(count), z.array(z.strictObject({ id: count, piece }))]),
});
export const detokenized = z.strictObject({ content: z.string() });
export const appliedTemplate = z.strictObject({ prompt: z.string() });
