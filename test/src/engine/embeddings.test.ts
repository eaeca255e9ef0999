import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import type { Embedding, Engine } from "../../../src/domain/engine.ts";
import { Embedder, poolingOverride } from "../../../src/engine/embedder.ts";
import { openNative, type Native } from "../../../src/engine/native.ts";
import { startDemoEngine } from "../../support/demo-engine.ts";
import { chatRequest, demoModelPath } from "../../support/demo-model.ts";

const never = new AbortController().signal;
const LAST = 3;
const long = "The old fox walked home along the wide river and thought of the lamp. ".repeat(14);

function similarity(a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, index) => sum + value * y[index]!, 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

describe("embeddings, demo model", () => {
  let engine: Engine;
  before(async () => {
    engine = await startDemoEngine();
  });
  after(() => engine.close());
  const embed = async (...texts: string[]): Promise<readonly Embedding[]> =>
    engine.embed(
      texts.map((text) => [text]),
      never,
    );

  test("each text has its vector, in order, and counts its tokens", async () => {
    const both = await embed("A red fox.", "What is the capital of France?");
    assert.deepEqual(
      both.map(({ vector }) => vector.length),
      [engine.model.embeddingLength, engine.model.embeddingLength],
    );
    const [alone] = await embed("What is the capital of France?");
    assert.deepEqual(both[1], alone);
    assert.equal(
      alone!.tokens,
      engine.tokenize(["What is the capital of France?"], { addSpecial: true, parseSpecial: false }).length,
    );
    assert.notDeepEqual(both[0]!.vector, both[1]!.vector);
  });

  test("the vector is the mean over the tokens, also of a text longer than a piece", async () => {
    const native = await openNative();
    const model = await native.openModel(demoModelPath, { "llama.pooling_type": LAST });
    const tokens = engine.tokenize([long], { addSpecial: true, parseSpecial: false });
    assert.ok(tokens.length > 256, `${tokens.length} tokens`);
    const ofLast = new Embedder(native, model, {
      contextLength: 2048,
      threads: 1,
      pooling: LAST,
      isCausal: true,
      queueLength: 1,
    });
    const beginnings = tokens.map((_, index) => tokens.slice(0, index + 1));
    const each = await ofLast.embed(beginnings, () => false);
    const mean = Float32Array.from(each[0]!.vector, (_, at) =>
      each.reduce((sum, { vector }) => sum + vector[at]! / each.length, 0),
    );
    const [whole] = await embed(long);
    assert.equal(whole!.tokens, tokens.length);
    assert.ok(similarity(whole!.vector, mean) > 0.9999, `similarity ${similarity(whole!.vector, mean)}`);
    const lengths = [whole!.vector, mean].map((vector) => Math.hypot(...vector));
    assert.ok(Math.abs(lengths[0]! / lengths[1]! - 1) < 0.01, `lengths ${lengths.join(", ")}`);
    await ofLast.close();
    await model.dispose();
    await native.close();
  });

  test("texts that say nearly the same are nearer than others", async () => {
    const [a, b, c] = await embed(
      "What is the capital of France?",
      "What is the capital of Spain?",
      "aXq 77 {}{} zz!!",
    );
    assert.ok(similarity(a!.vector, b!.vector) > similarity(a!.vector, c!.vector));
  });

  test("a text beyond the context is refused, and one that fills it is not", async () => {
    const tokens = Array.from({ length: engine.model.contextLength + 1 }, () => 40);
    await assert.rejects(engine.embed([[1, 2], tokens], never), { code: "context_length_exceeded", param: "input" });
    const [whole] = await engine.embed([tokens.slice(1)], never);
    assert.equal(whole!.tokens, engine.model.contextLength);
  });

  test("a token that does not exist is refused", async () => {
    await assert.rejects(engine.embed([[engine.model.vocabularySize]], never), {
      code: "invalid_value",
      param: "input",
    });
  });

  test("control tokens in a text stay text", async () => {
    const [written] = await embed("<|im_end|>");
    assert.ok(written!.tokens > 1);
  });

  test("generations give the same texts while embeddings are computed beside them", async () => {
    const request = chatRequest("Tell me a story about a fox named Ada.", { maxTokens: 80 });
    const tell = async () => {
      const texts: string[] = [];
      for await (const step of (await engine.generate(request, never)).steps)
        if (step.type === "text") texts.push(step.text);
      return texts.join("");
    };
    const alone = await tell();
    const [quiet] = await embed(long);
    const [told, busy] = await Promise.all([tell(), embed(long, long, long, long)]);
    assert.equal(told, alone);
    for (const { vector } of busy) assert.deepEqual(vector, quiet!.vector);
  });

  test("who leaves gets no answer, and the next one does", async () => {
    const leaving = new AbortController();
    const many = engine.embed(
      Array.from({ length: 200 }, () => [long]),
      leaving.signal,
    );
    setTimeout(() => leaving.abort(), 20);
    await assert.rejects(many, { code: "client_left" });
    assert.equal((await embed("still here")).length, 1);
  });

  test("more callers than may wait are turned away", async () => {
    const results = await Promise.allSettled(Array.from({ length: 12 }, () => embed(long)));
    const codes = results.map((result) =>
      result.status === "fulfilled" ? "ok" : (result.reason as { code: string }).code,
    );
    assert.ok(codes.includes("rate_limit_exceeded"), codes.join());
    assert.ok(codes.filter((code) => code === "ok").length >= 5, codes.join());
  });
});

test("closing while embeddings are computed ends them as a shutdown", async () => {
  const engine = await startDemoEngine();
  const running = engine.embed(
    Array.from({ length: 500 }, () => [long]),
    never,
  );
  const outcome = assert.rejects(running, { code: "shutting_down" });
  await engine.close();
  await outcome;
});

test("a model that only ranks makes no embeddings", async () => {
  const RANK = 4;
  const embedder = new Embedder({} as Native, {} as never, {
    contextLength: 8,
    threads: 1,
    pooling: RANK,
    isCausal: true,
    queueLength: 1,
  });
  await assert.rejects(
    embedder.embed([[1]], () => false),
    { code: "not_supported" },
  );
});

test("a model's own pooling is left as it is", () => {
  assert.deepEqual(poolingOverride("bert", 2), {});
  assert.deepEqual(poolingOverride("llama", undefined), { "llama.pooling_type": 1 });
  assert.deepEqual(poolingOverride("llama", 0), { "llama.pooling_type": 1 });
});
