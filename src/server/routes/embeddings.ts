import type { RequestHandler, Response } from "express";

import type { Embedding, Engine } from "../../domain/engine.ts";
import {
  parseEmbeddingRequest,
  parseNativeEmbeddingRequest,
  type EmbeddingRequest,
} from "../../openai/embedding-request.ts";
import { refuseDimensions, toEmbeddingList, toNativeEmbeddings } from "../../openai/embeddings.ts";
import { parseRerankRequest, toHeadRanking, toRanking } from "../../openai/rerank.ts";
import { abortWhenClientLeaves } from "../client.ts";
import { elapsedMs, exchangeOf } from "../exchange.ts";
import { reportIgnored, requireModel } from "../request-checks.ts";

interface EmbeddingOptions {
  readonly engine: Engine;
  readonly anyModel: boolean;
}

/** POST /v1/embeddings */
export function embeddings(options: EmbeddingOptions): RequestHandler {
  return async (req, res) => {
    const request = parseEmbeddingRequest(req.body);
    const { engine } = options;
    refuseDimensions(request.dimensions, engine.model.embeddingLength);
    send(res, toEmbeddingList(request, engine.model.id, await embed(options, request, res)));
  };
}

/** POST /embedding, llama.cpp's own. */
export function nativeEmbeddings(options: EmbeddingOptions): RequestHandler {
  return async (req, res) => {
    const request = parseNativeEmbeddingRequest(req.body);
    send(res, toNativeEmbeddings(request, await embed(options, request, res)));
  };
}

/** POST /v1/rerank: by the model's ranking head, or else by the likeness of embeddings, which every model has. */
export function rerank(options: EmbeddingOptions): RequestHandler {
  return async (req, res) => {
    const request = parseRerankRequest(req.body);
    const { engine, anyModel } = options;
    if (engine.model.canRank) {
      requireModel(engine, request.model, anyModel);
      reportIgnored(res, request.ignored);
      const scores = await engine.rank(request.query, request.documents, abortWhenClientLeaves(res));
      send(res, toHeadRanking(request, engine.model.id, scores));
      return;
    }
    const texts = [request.query, ...request.documents];
    const inputs = texts.filter((text) => text !== "").map((text) => [text]);
    const found = (await embed(options, { ...request, inputs }, res)).values();
    const each = texts.map((text) => (text === "" ? undefined : found.next().value));
    send(res, toRanking(request, engine.model.id, each));
  };
}

async function embed(
  { engine, anyModel }: EmbeddingOptions,
  { model, inputs, ignored }: Pick<EmbeddingRequest, "model" | "inputs" | "ignored">,
  res: Response,
): Promise<readonly Embedding[]> {
  requireModel(engine, model, anyModel);
  reportIgnored(res, ignored);
  return engine.embed(inputs, abortWhenClientLeaves(res));
}

function send(res: Response, body: object): void {
  if (res.destroyed) return;
  res.set("openai-processing-ms", String(elapsedMs(exchangeOf(res)))).json(body);
}
