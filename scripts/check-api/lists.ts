import assert from "node:assert/strict";

import type { Members } from "./client.ts";
import { hasMembers, refuses, refusesEach, errorOf, section } from "./checks.ts";

const { checks, check } = section("7, 8, 11, 12 models, embeddings, native routes, status");
export const lists = checks;

check("the list of models has OpenAI's, Anthropic's and llama.cpp's members", async ({ client }) => {
  const list = (await client.get("/v1/models")).json as Members & { data: Members[] };
  hasMembers(list, "object data has_more first_id last_id");
  hasMembers(list.data[0], "id object created owned_by type display_name created_at aliases meta");
  hasMembers(list.data[0]!["meta"], "vocab_type n_vocab n_ctx n_ctx_train n_embd n_params size ftype");
  assert.deepEqual([list["object"], list.data[0]!["object"], list["has_more"]], ["list", "model", false]);
});
check("a model's created stays the same", async ({ client }) => {
  const created = async () => ((await client.get("/v1/models")).json as { data: Members[] }).data[0]!["created"];
  const first = await created();
  await new Promise((resolve) => setTimeout(resolve, 1100));
  assert.equal(await created(), first);
  assert.ok(Number(first) < Date.now() / 1000);
});
check("a model is found by its id, others are model_not_found", async ({ client, model }) => {
  assert.equal(((await client.get(`/v1/models/${encodeURIComponent(model.id)}`)).json as Members)["id"], model.id);
  for (const name of ["nothing", "a%2Fb", "a/b"]) {
    assert.equal(errorOf(await client.get(`/v1/models/${name}`))["code"], "model_not_found");
  }
});

check("embeddings have OpenAI's members, a vector of length 1 each", async ({ client, model }) => {
  const answer = await client.ask("/v1/embeddings", { input: ["a fox", "a lamp"] });
  hasMembers(answer, "object model data usage");
  const data = answer["data"] as { object: string; index: number; embedding: number[] }[];
  assert.deepEqual(
    data.map(({ object, index, embedding }) => [object, index, embedding.length]),
    [
      ["embedding", 0, model.embeddingLength],
      ["embedding", 1, model.embeddingLength],
    ],
  );
  for (const { embedding } of data) assert.ok(Math.abs(Math.hypot(...embedding) - 1) < 1e-4);
  hasMembers(answer["usage"], "prompt_tokens total_tokens");
});
check("base64 embeddings are the same floats", async ({ client }) => {
  const vector = async (more: Members) =>
    ((await client.ask("/v1/embeddings", { input: "a fox", ...more }))["data"] as { embedding: unknown }[])[0]!
      .embedding;
  const bytes = Buffer.from((await vector({ encoding_format: "base64" })) as string, "base64");
  const numbers = (await vector({})) as number[];
  for (const [index, value] of numbers.entries()) assert.ok(Math.abs(bytes.readFloatLE(index * 4) - value) < 1e-5);
});
check("dimensions cut and normalise again", async ({ client }) => {
  const [first] = (await client.ask("/v1/embeddings", { input: "a fox", dimensions: 4 }))["data"] as {
    embedding: number[];
  }[];
  assert.equal(first!.embedding.length, 4);
  assert.ok(Math.abs(Math.hypot(...first!.embedding) - 1) < 1e-4);
});
check("token ids are inputs, mixed with text too", async ({ client }) => {
  for (const [input, count] of [
    [[1, 2], 1],
    [[[1, 2], [3]], 2],
    [[1, "a"], 1],
  ] as const) {
    assert.equal(((await client.ask("/v1/embeddings", { input }))["data"] as unknown[]).length, count);
  }
});
check("what is no input is refused by name", async ({ client, model }) => {
  for (const input of [undefined, "", [], [""], 3, {}, [[]], [1.5], [model.vocabularySize + 1], [true]]) {
    assert.match(String((await refuses(client, "/v1/embeddings", { input }, {}))["param"]), /^input/);
  }
  await refuses(
    client,
    "/v1/embeddings",
    { input: "word ".repeat(Math.min(model.contextLength * 2, 150_000)) },
    { code: "context_length_exceeded", param: "input" },
  );
});
check(
  "embedding options out of range are refused",
  refusesEach("/v1/embeddings", { input: "a" }, [
    [{ encoding_format: "hex" }, "invalid_value", "encoding_format"],
    [{ dimensions: 0 }, "invalid_value", "dimensions"],
    [{ dimensions: 1_000_000 }, "invalid_value", "dimensions"],
    [{ dimensions: "4" }, "invalid_type", "dimensions"],
    [{ embd_normalize: -2 }, "invalid_value", "embd_normalize"],
  ]),
);
check("embd_normalize chooses the norm", async ({ client }) => {
  const vector = async (embd_normalize: number) =>
    ((await client.ask("/v1/embeddings", { input: "a fox", embd_normalize }))["data"] as { embedding: number[] }[])[0]!
      .embedding;
  assert.ok(Math.abs(Math.hypot(...(await vector(-1))) - 1) > 0.001);
  assert.ok(Math.abs((await vector(1)).reduce((sum, value) => sum + Math.abs(value), 0) - 1) < 1e-4);
  assert.ok(Math.abs(Math.max(...(await vector(0)).map(Math.abs)) - 32_760) < 1);
});
check("llama.cpp's embedding routes give matrices", async ({ client }) => {
  for (const path of ["/embedding", "/embeddings"]) {
    for (const body of [{ content: "a fox" }, { input: "a fox" }]) {
      const [first] = (await client.post(path, body)).json as { index: number; embedding: number[][] }[];
      assert.equal(first!.index, 0);
      assert.equal(typeof first!.embedding[0]![0], "number");
    }
  }
});
check("rerank sorts by relevance", async ({ client }) => {
  for (const path of ["/v1/rerank", "/rerank", "/v1/reranking", "/reranking"]) {
    const answer = await client.ask(path, {
      query: "a red fox",
      documents: ["capital of France", "a red fox", "lamp"],
      top_n: 2,
    });
    hasMembers(answer, "object model results usage method");
    const results = answer["results"] as { index: number; relevance_score: number }[];
    assert.equal(results.length, 2);
    assert.equal(results[0]!.index, 1);
    assert.ok(results[0]!.relevance_score >= results[1]!.relevance_score);
  }
});
check("TEI's form of rerank is an array of scores", async ({ client }) => {
  const results = (await client.post("/rerank", { query: "a", texts: ["b", "a"], return_text: true }))
    .json as Members[];
  hasMembers(results[0], "index score text");
});
check(
  "rerank refuses by name",
  refusesEach("/v1/rerank", { query: "a", documents: ["b"] }, [
    [{ query: undefined }, "missing_required_parameter", "query"],
    [{ query: 3 }, "invalid_type", "query"],
    [{ documents: [] }, "invalid_value", "documents"],
    [{ documents: "x" }, "invalid_type", "documents"],
    [{ documents: [3] }, "invalid_type", "documents[0]"],
    [{ top_n: -1 }, "invalid_value", "top_n"],
  ]),
);
