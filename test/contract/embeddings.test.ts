/** Embeddings and rerank over the real engine and the demo model, beside generation. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import OpenAI from "openai";
import supertest from "supertest";

import type { Engine } from "../../src/domain/engine.ts";
import { startDemoEngine } from "../support/demo-engine.ts";
import { chatRequest, greedy } from "../support/demo-model.ts";
import { appOf, listen } from "../support/server.ts";

interface EmbeddingList {
  readonly object: string;
  readonly model: string;
  readonly data: readonly { readonly object: string; readonly index: number; readonly embedding: number[] }[];
  readonly usage: { readonly prompt_tokens: number; readonly total_tokens: number };
}
interface Ranking {
  readonly object: string;
  readonly model: string;
  readonly method: string;
  readonly results: readonly { index: number; relevance_score: number; document?: { text: string } }[];
  readonly usage: { readonly prompt_tokens: number; readonly total_tokens: number };
}
interface Refusal {
  readonly error: { readonly code: string; readonly param: string; readonly message: string };
}

const fox = "A red fox.";
const city = "What is the capital of France?";
const size = (vector: readonly number[]) => Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));

describe("embeddings over the demo model", () => {
  let engine: Engine;
  before(async () => {
    engine = await startDemoEngine({ slots: 2 });
  });
  after(() => engine.close());

  const post = (path: string, body: object) => supertest(appOf(engine)).post(path).send(body);
  const embed = async (body: object) => (await post("/v1/embeddings", body).expect(200)).body as EmbeddingList;
  const rerank = async (body: object, path = "/v1/rerank") => (await post(path, body).expect(200)).body as Ranking;
  const refused = async (path: string, body: object) => {
    const { error } = (await post(path, body).expect(400)).body as Refusal;
    return [error.code, error.param];
  };

  test("a list has a vector of length 1 for each input, in order, and counts all tokens", async () => {
    const both = await embed({ input: [fox, city], user: "me" });
    assert.deepEqual([both.object, both.model], ["list", engine.model.id]);
    assert.deepEqual(
      both.data.map(({ object, index, embedding }) => [object, index, embedding.length]),
      [0, 1].map((index) => ["embedding", index, engine.model.embeddingLength]),
    );
    for (const { embedding } of both.data) assert.ok(Math.abs(size(embedding) - 1) < 1e-5);
    const [one, two] = [await embed({ input: fox }), await embed({ input: [city] })];
    assert.deepEqual(both.data[0]!.embedding, one.data[0]!.embedding);
    assert.equal(both.usage.prompt_tokens, one.usage.prompt_tokens + two.usage.prompt_tokens);
    assert.equal(both.usage.total_tokens, both.usage.prompt_tokens);
  });

  test("token ids, arrays of them, and ids mixed with text are inputs too", async () => {
    const ids = engine.tokenize([fox], { addSpecial: false, parseSpecial: false });
    const text = (await embed({ input: fox })).data[0]!.embedding;
    assert.deepEqual((await embed({ input: ids })).data[0]!.embedding, text);
    assert.equal((await embed({ input: [ids, [fox]] })).data.length, 2);
    assert.equal((await embed({ input: [ids[0], "and", ids[1]] })).data.length, 1);
  });

  test("base64 holds the same numbers as little-endian floats", async () => {
    const { data } = await embed({ input: fox, encoding_format: "base64" });
    const bytes = Buffer.from(data[0]!.embedding as unknown as string, "base64");
    const numbers = Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readFloatLE(index * 4));
    assert.deepEqual(numbers, (await embed({ input: fox })).data[0]!.embedding);
  });

  test("dimensions cut the vector, which then has length 1 again", async () => {
    const whole = (await embed({ input: fox })).data[0]!.embedding;
    const cut = (await embed({ input: fox, dimensions: 5 })).data[0]!.embedding;
    assert.equal(cut.length, 5);
    assert.ok(Math.abs(size(cut) - 1) < 1e-5);
    for (const [index, value] of cut.entries()) {
      assert.ok(Math.abs(value - whole[index]! / size(whole.slice(0, 5))) < 1e-5);
    }
    assert.deepEqual(await refused("/v1/embeddings", { input: fox, dimensions: 0 }), ["invalid_value", "dimensions"]);
    const tooMany = { input: fox, dimensions: engine.model.embeddingLength + 1 };
    assert.deepEqual(await refused("/v1/embeddings", tooMany), ["invalid_value", "dimensions"]);
  });

  test("embd_normalize chooses the norm", async () => {
    const vectorOf = async (embd_normalize: number) => (await embed({ input: fox, embd_normalize })).data[0]!.embedding;
    const raw = await vectorOf(-1);
    assert.ok(Math.abs(size(raw) - 1) > 0.01, "the model's own vectors have other lengths");
    assert.equal(Math.max(...(await vectorOf(0)).map(Math.abs)), 32_760);
    const near = (sum: number) => assert.ok(Math.abs(sum - 1) < 1e-5, String(sum));
    near((await vectorOf(1)).reduce((sum, value) => sum + Math.abs(value), 0));
    near(size(await vectorOf(2)));
    near((await vectorOf(3)).reduce((sum, value) => sum + Math.abs(value) ** 3, 0));
  });

  test("llama.cpp's own route gives a matrix for each input, under both names", async () => {
    const expected = (await embed({ input: fox })).data[0]!.embedding;
    for (const path of ["/embedding", "/embeddings"]) {
      for (const body of [{ content: fox }, { input: [fox] }]) {
        assert.deepEqual((await post(path, body).expect(200)).body, [{ index: 0, embedding: [expected] }]);
      }
    }
    assert.deepEqual(await refused("/embedding", {}), ["missing_required_parameter", "content"]);
  });

  test("what is no input is refused by name", async () => {
    const cases: [unknown, string, string][] = [
      [undefined, "missing_required_parameter", "input"],
      ["", "invalid_value", "input"],
      [[], "invalid_value", "input"],
      [[""], "invalid_value", "input"],
      [[[]], "invalid_value", "input[0]"],
      [3, "invalid_type", "input"],
      [{}, "invalid_type", "input"],
      [[true], "invalid_type", "input[0]"],
      [[-1], "invalid_value", "input[0]"],
      [[999_999], "invalid_value", "input"],
      [Array(2049).fill("a"), "invalid_value", "input"],
      ["word ".repeat(4000), "context_length_exceeded", "input"],
    ];
    for (const [input, code, param] of cases) {
      assert.deepEqual(await refused("/v1/embeddings", { input }), [code, param], JSON.stringify(input)?.slice(0, 50));
    }
    assert.deepEqual(await refused("/v1/embeddings", { input: "a", encoding_format: "hex" }), [
      "invalid_value",
      "encoding_format",
    ]);
    const { body } = await post("/v1/embeddings", { input: "a", model: "gpt-9" }).expect(404);
    assert.equal((body as Refusal).error.code, "model_not_found");
    const { headers } = await post("/v1/embeddings", { input: "a", foo: 1 }).expect(200);
    assert.equal(headers["x-ignored-params"], "foo");
  });

  test("OpenAI's client embeds, in the encoding that it asks for by itself", async (t) => {
    const { url } = await listen(t, appOf(engine));
    const client = new OpenAI({ baseURL: `${url}/v1/`, apiKey: "any", maxRetries: 0 });
    const { data } = await client.embeddings.create({ model: engine.model.id, input: [fox, city] });
    assert.deepEqual(data[0]!.embedding, (await embed({ input: fox })).data[0]!.embedding);
  });

  test("rerank sorts documents by likeness to the query, and says how", async () => {
    const documents = [city, fox, "The fox is red."];
    for (const path of ["/v1/rerank", "/rerank", "/v1/reranking", "/reranking"]) {
      const { object, model, method, results, usage } = await rerank({ query: fox, documents }, path);
      assert.deepEqual([object, model, method], ["list", engine.model.id, "embedding_similarity"]);
      assert.equal(results[0]!.index, 1);
      assert.ok(Math.abs(results[0]!.relevance_score - 1) < 1e-5);
      const scores = results.map(({ relevance_score }) => relevance_score);
      assert.deepEqual(
        scores,
        scores.toSorted((a, b) => b - a),
      );
      assert.deepEqual(new Set(results.map(({ index }) => index)), new Set([0, 1, 2]));
      assert.ok(usage.prompt_tokens > 0 && usage.total_tokens === usage.prompt_tokens);
    }
  });

  test("top_n cuts the ranking, return_documents repeats the texts, empty ones come last", async () => {
    const body = { query: fox, documents: ["", fox, { text: city }], top_n: 2, return_documents: true };
    const { results } = await rerank(body);
    assert.deepEqual(results[0]!.document, { text: fox });
    assert.equal(results.length, 2);
    assert.equal((await rerank({ query: fox, documents: ["", fox] })).results[1]!.relevance_score, 0);
  });

  test("texts instead of documents get an array of scores", async () => {
    const { body } = await post("/rerank", { query: fox, texts: [city, fox], return_text: true }).expect(200);
    const scores = body as { index: number; score: number; text: string }[];
    assert.deepEqual(
      scores.map(({ index, text }) => [index, text]),
      [
        [1, fox],
        [0, city],
      ],
    );
    assert.ok(scores[0]!.score > scores[1]!.score);
  });

  test("what cannot be ranked is refused by name", async () => {
    const cases: [object, string, string][] = [
      [{ documents: [fox] }, "missing_required_parameter", "query"],
      [{ query: "", documents: [fox] }, "invalid_value", "query"],
      [{ query: fox }, "missing_required_parameter", "documents"],
      [{ query: fox, documents: [] }, "invalid_value", "documents"],
      [{ query: fox, documents: [1] }, "invalid_type", "documents[0]"],
      [{ query: fox, documents: fox }, "invalid_type", "documents"],
      [{ query: fox, documents: [fox], top_n: 0 }, "invalid_value", "top_n"],
    ];
    for (const [body, code, param] of cases) {
      assert.deepEqual(await refused("/v1/rerank", body), [code, param], JSON.stringify(body));
    }
  });

  test("embeddings are computed while every slot generates", async () => {
    const leaving = new AbortController();
    const busy = [1, 2].map(async () => {
      const sampling = { ...greedy, ignoreEos: true };
      const request = chatRequest("Tell me a story.", { maxTokens: 1900, sampling });
      const { steps } = await engine.generate(request, leaving.signal);
      for await (const step of steps) void step;
    });
    assert.equal((await embed({ input: fox })).data.length, 1);
    leaving.abort();
    await Promise.allSettled(busy);
  });
});
