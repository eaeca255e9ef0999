/** Rerank by a ranking head, over the real engine and models of random weights. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import supertest from "supertest";

import type { Engine } from "../../src/domain/engine.ts";
import { ANSWERS } from "../../src/openai/answers/answers.ts";
import { makeRankingModel, startRanker } from "../support/ranking-model.ts";
import { appOf } from "../support/server.ts";

interface Ranking {
  readonly object: string;
  readonly model: string;
  readonly results: readonly { index: number; relevance_score: number; document?: { text: string } }[];
  readonly usage: { readonly prompt_tokens: number; readonly total_tokens: number };
}
interface Refusal {
  readonly error: { readonly type: string; readonly code: string; readonly param: string | null };
}

const query = "what is the capital of france?";
const documents = ["the fox is red.", "paris is the capital of france.", "a", ""];
const never = new AbortController().signal;

for (const kind of ["bert", "qwen3"] as const) {
  describe(`rerank by the head of a model: ${kind}`, () => {
    let engine: Engine;
    const model = makeRankingModel(kind);
    before(async () => {
      engine = await startRanker(model.path);
    });
    after(async () => {
      await engine.close();
      model.remove();
    });
    const post = (path: string, body: object) => supertest(appOf(engine)).post(path).send(body);

    test("the head's scores, the highest first, without a word on likeness", async () => {
      const scores = await engine.rank(query, documents, never);
      assert.equal(new Set(scores.map(({ score }) => score)).size, documents.length, "scores differ");
      const order = scores.map((_, index) => index).sort((a, b) => scores[b]!.score - scores[a]!.score);
      for (const path of ["/v1/rerank", "/rerank", "/v1/reranking", "/reranking"]) {
        const { body } = await post(path, { query, documents }).expect(200);
        const { object, model: name, results, usage } = body as Ranking;
        assert.deepEqual(Object.keys(body as object), ["object", "model", "results", "usage"]);
        assert.deepEqual([object, name], ["list", "ranker"]);
        assert.deepEqual(
          results,
          order.map((index) => ({ index, relevance_score: scores[index]!.score })),
        );
        const tokens = scores.reduce((sum, each) => sum + each.tokens, 0);
        assert.deepEqual(usage, { prompt_tokens: tokens, total_tokens: tokens });
        assert.ok(ANSWERS.Ranking.safeParse(body).success);
      }
    });

    test("a document's score does not depend on its place or on the others", async () => {
      const all = await engine.rank(query, documents, never);
      const turned = await engine.rank(query, documents.toReversed(), never);
      assert.deepEqual(turned.toReversed(), all);
      for (const [index, document] of documents.entries()) {
        assert.deepEqual(await engine.rank(query, [document], never), [all[index]]);
      }
      const other = await engine.rank("a fox", documents, never);
      assert.notDeepEqual(
        other.map(({ score }) => score),
        all.map(({ score }) => score),
      );
    });

    test("top_n, documents, and the form of Text Embeddings Inference", async () => {
      const { body } = await post("/v1/rerank", { query, documents, top_n: 2, return_documents: true }).expect(200);
      const { results } = body as Ranking;
      assert.equal(results.length, 2);
      for (const { index, document } of results) assert.deepEqual(document, { text: documents[index] });
      const { body: list } = await post("/rerank", { query, texts: documents, return_text: true }).expect(200);
      const scores = list as { index: number; score: number; text: string }[];
      assert.deepEqual(
        scores.slice(0, 2).map(({ index, score }) => [index, score]),
        results.map(({ index, relevance_score: score }) => [index, score]),
      );
      assert.deepEqual(Object.keys(scores[0]!), ["index", "score", "text"]);
    });

    test("what is too long is refused by name, and embeddings are another model's", async () => {
      const { body, status } = await post("/v1/rerank", { query, documents: ["a", "fox ".repeat(400)] });
      const { error } = body as Refusal;
      assert.deepEqual([status, error.code, error.param], [400, "context_length_exceeded", "documents"]);
      const refused = await post("/v1/embeddings", { input: "fox" }).expect(501);
      assert.equal((refused.body as Refusal).error.code, "not_supported");
      const unknown = await post("/v1/rerank", { query, documents, model: "other" }).expect(404);
      assert.equal((unknown.body as Refusal).error.code, "model_not_found");
    });
  });
}

test("texts of a client do not close the template's turns", async (t) => {
  const model = makeRankingModel("qwen3");
  t.after(() => model.remove());
  const engine = await startRanker(model.path);
  t.after(() => engine.close());
  const mark = "<|im_end|>";
  const [plain, marked] = await engine.rank("q", ["x", `x${mark}`], never);
  // Each of its characters is a token of this vocabulary.
  assert.equal(marked!.tokens - plain!.tokens, mark.length);
});

test("a model that says that it ranks and has no head is refused by name", async (t) => {
  const model = makeRankingModel("qwen3", { head: false });
  t.after(() => model.remove());
  const engine = await startRanker(model.path);
  t.after(() => engine.close());
  const { body } = await supertest(appOf(engine)).post("/v1/rerank").send({ query, documents }).expect(501);
  assert.deepEqual((body as Refusal).error, {
    ...(body as Refusal).error,
    type: "not_supported_error",
    code: "not_supported",
  });
  await assert.rejects(engine.rank(query, documents, never), { code: "not_supported" });
});
