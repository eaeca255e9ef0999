import * as z from "zod";

import type { Embedding, Score } from "../domain/engine.ts";
import { CodedError } from "../domain/errors.ts";
import { readBody, schemaOf } from "./body.ts";
import { countTokens, normalized } from "./embeddings.ts";
import { honoured } from "./field.ts";
import { boolean, integer, string } from "./schemas.ts";

const MAX_DOCUMENTS = 2048;

const documentError = { error: "a string" };
const document = z.union(
  [z.string(), z.object({ text: string() }, documentError).transform(({ text }) => text)],
  documentError,
);
const documentsError = { error: `a non-empty array of at most ${MAX_DOCUMENTS} strings` };
const documents = z.array(document, documentsError).min(1, documentsError).max(MAX_DOCUMENTS, documentsError);
const queryError = { error: "a text that is not empty" };

export const RERANK_FIELDS = {
  query: honoured(z.string(queryError).min(1, queryError), "what the documents are compared with"),
  documents: honoured(documents.optional(), "the texts to sort"),
  texts: honoured(documents.optional(), "another name of documents; the answer is then an array of scores"),
  top_n: honoured(integer(1).optional(), "results that are sent; all unless given"),
  return_documents: honoured(boolean().default(false), "send each document with its score"),
  return_text: honoured(boolean().default(false), "the same where they are called texts"),
  model: honoured(string().optional(), "the served model's id or an alias; absent or empty is the served model"),
} as const;

const rerankBody = z.object(schemaOf(RERANK_FIELDS));

export interface RerankRequest {
  readonly model: string | undefined;
  readonly query: string;
  readonly documents: readonly string[];
  readonly most: number;
  readonly returnDocuments: boolean;
  /** Whether the answer has the form of Text Embeddings Inference. */
  readonly isTei: boolean;
  readonly ignored: readonly string[];
}

/** Body of POST /v1/rerank. Errors: `invalid_type`, `invalid_value`, `missing_required_parameter`. */
export function parseRerankRequest(body: unknown): RerankRequest {
  const { fields, ignored } = readBody(RERANK_FIELDS, rerankBody, body);
  const given = fields.documents ?? fields.texts;
  if (given === undefined) {
    throw new CodedError(
      "missing_required_parameter",
      `Missing required parameter: 'documents'. Expected ${documentsError.error}.`,
      { param: "documents" },
    );
  }
  return {
    model: fields.model === "" ? undefined : fields.model,
    query: fields.query,
    documents: given,
    most: fields.top_n ?? given.length,
    returnDocuments: fields.return_documents || fields.return_text,
    isTei: fields.documents === undefined,
    ignored,
  };
}

/** The best first, by a ranking head's scores of all documents. */
export function toHeadRanking(request: RerankRequest, model: string, scores: readonly Score[]): object {
  const ranked = scores.map(({ score }, index) => ({ index, score }));
  const tokens = scores.reduce((sum, each) => sum + each.tokens, 0);
  return toAnswer(request, ranked, { model, tokens });
}

/** The likest first. `embeddings`: the query's, then the documents'; undefined for documents without text. */
export function toRanking(
  request: RerankRequest,
  model: string,
  [query, ...others]: readonly (Embedding | undefined)[],
): object {
  const ranked = others.map((embedding, index) => ({ index, score: similarity(query, embedding) }));
  const tokens = countTokens([query, ...others].filter((embedding) => embedding !== undefined));
  return toAnswer(request, ranked, { model, tokens, method: "embedding_similarity" });
}

function toAnswer(
  request: RerankRequest,
  scores: readonly { readonly index: number; readonly score: number }[],
  { model, tokens, method }: { readonly model: string; readonly tokens: number; readonly method?: string },
): object {
  const ranked = scores.toSorted((a, b) => b.score - a.score).slice(0, request.most);
  const textOf = (index: number) => request.documents[index]!;
  if (request.isTei) {
    return ranked.map((result) => ({ ...result, ...(request.returnDocuments && { text: textOf(result.index) }) }));
  }
  return {
    object: "list",
    model,
    ...(method !== undefined && { method }),
    results: ranked.map(({ index, score }) => ({
      index,
      relevance_score: score,
      ...(request.returnDocuments && { document: { text: textOf(index) } }),
    })),
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  };
}

/** The cosine of the angle between two vectors; nothing is like nothing. */
function similarity(a: Embedding | undefined, b: Embedding | undefined): number {
  if (a === undefined || b === undefined) return 0;
  const [left, right] = [normalized(a.vector, 2), normalized(b.vector, 2)];
  return left.reduce((sum, value, index) => sum + value * right[index]!, 0);
}
