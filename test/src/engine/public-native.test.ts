import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import type { Engine } from "../../../src/domain/engine.ts";
import type { SamplingOptions } from "../../../src/domain/generation.ts";
import { openNative } from "../../../src/engine/native.ts";
import { openPublicNative } from "../../../src/engine/public-native.ts";
import { whenIdle } from "../../support/api-fuzz.ts";
import { startDemoEngine } from "../../support/demo-engine.ts";
import { chatRequest, creative, demoModelPath, greedy, requestOf, transcripts } from "../../support/demo-model.ts";
import { makeRankingModel, startRanker } from "../../support/ranking-model.ts";
import { appOf, eventsIn, listen } from "../../support/server.ts";
import { collect, doneOf, finishOf, textOf, tokensOf } from "../../support/steps.ts";

const story = "Tell me a story about a fox named Ada.";
const long = "The old fox walked home along the wide river and thought of the lamp. ".repeat(20);

/** Both interfaces in one process: one compiled library serves them. */
describe("the library's public interface, demo model", () => {
  let engine: Engine;
  let addon: Engine;
  before(async () => {
    addon = await startDemoEngine({ queueLength: 16 });
    engine = await startDemoEngine({ queueLength: 16, bindings: "public" });
  });
  after(async () => {
    await engine.close();
    await addon.close();
  });

  test("golden transcripts are reproduced, one after the other", async () => {
    for (const transcript of transcripts) {
      const steps = await collect(engine, requestOf(transcript));
      assert.equal(textOf(steps), transcript.expected_raw, transcript.skill);
      assert.equal(finishOf(steps), "stop");
    }
  });

  test("twenty streams at once give the same texts, in batches that several slots share", async () => {
    const some = transcripts.slice(0, 20);
    const earlier = engine.status();
    const texts = await Promise.all(some.map(async (one) => textOf(await collect(engine, requestOf(one)))));
    assert.deepEqual(
      texts,
      some.map(({ expected_raw }) => expected_raw),
    );
    const { batches, busySlotsInBatches } = engine.status();
    assert.ok(busySlotsInBatches - earlier.busySlotsInBatches > 2 * (batches - earlier.batches));
  });

  test("the model is described as through the addon", () => {
    const { fingerprint, createdAt: _, ...card } = engine.model;
    assert.ok(fingerprint.startsWith("fp_"));
    const { fingerprint: _other, createdAt: _then, ...expected } = addon.model;
    assert.deepEqual(card, expected);
  });

  const settings: readonly (readonly [name: string, sampling: SamplingOptions])[] = [
    ["temperature alone", creative],
    ["top_k, top_p and min_p", { ...greedy, temperature: 1.5, topK: 40, topP: 0.9, seed: 5n }],
    ["penalties and xtc", { ...creative, repeatPenalty: 1.3, presencePenalty: 0.5, xtcProbability: 0.5 }],
    ["DRY", { ...creative, dry: { multiplier: 5, base: 2, allowedLength: 2, lastN: -1, sequenceBreakers: ["\n"] } }],
    ["mirostat 2", { ...creative, temperature: 1, mirostat: { version: 2, tau: 1, eta: 0.1 } }],
    ["typical_p", { ...creative, typicalP: 0.7 }],
  ];
  for (const [name, sampling] of settings) {
    test(`a seed repeats its text, alone and under load, and another one does not: ${name}`, async () => {
      const request = chatRequest(story, { sampling, maxTokens: 40 });
      const alone = textOf(await collect(engine, request));
      const [loaded, other] = await Promise.all([
        collect(engine, request),
        collect(engine, { ...request, sampling: { ...sampling, seed: 8n } }),
        collect(engine, chatRequest("Count to 5.", { sampling: creative, maxTokens: 40 })),
      ]);
      assert.equal(textOf(loaded), alone);
      assert.notEqual(textOf(other), alone);
    });
  }

  test("mirostat computed on its rows is the addon's to the letter", async () => {
    const sampling: SamplingOptions = { ...creative, temperature: 1, mirostat: { version: 2, tau: 1, eta: 0.1 } };
    const request = chatRequest(story, { sampling, maxTokens: 60 });
    assert.equal(textOf(await collect(engine, request)), textOf(await collect(addon, request)));
  });

  test("greedy text with penalties, biases and DRY is the addon's", async () => {
    const endless: SamplingOptions = { ...greedy, ignoreEos: true };
    const dry = { multiplier: 5, base: 2, allowedLength: 2, lastN: -1, sequenceBreakers: ["\n"] };
    for (const sampling of [
      { ...endless, repeatPenalty: 1.5, frequencyPenalty: 0.5 },
      { ...endless, dry },
      { ...endless, logitBias: [{ text: "This", bias: -Infinity }] },
    ]) {
      const request = chatRequest("Say this is a test", { sampling, maxTokens: 60 });
      assert.equal(textOf(await collect(engine, request)), textOf(await collect(addon, request)));
    }
  });

  test("log probabilities agree with the addon's", async () => {
    const request = chatRequest(story, { topLogprobs: 5, maxTokens: 30 });
    const [ours, theirs] = [tokensOf(await collect(engine, request)), tokensOf(await collect(addon, request))];
    assert.ok(ours.length > 10);
    assert.equal(ours.length, theirs.length);
    for (const [index, { id, logprob, top }] of ours.entries()) {
      const other = theirs[index]!;
      assert.equal(id, other.id);
      assert.ok(Math.abs(logprob - other.logprob) < 1e-3, `${logprob} and ${other.logprob}`);
      assert.equal(top.length, 5);
      for (const [place, likely] of top.entries()) {
        assert.ok(Math.abs(likely.logprob - other.top[place]!.logprob) < 1e-3);
      }
    }
  });

  test("a stop sequence ends the text before it", async () => {
    const steps = await collect(engine, chatRequest("Say this is a test", { stop: ["a te"] }));
    assert.equal(textOf(steps), "This is ");
    assert.equal(finishOf(steps), "stop");
  });

  test("a conversation's next turn, and the same prompt again, reuse what was evaluated", async () => {
    const request = chatRequest("Say the river is wide and the lamp is warm");
    const [cold, warm] = [await collect(engine, request), await collect(engine, request)];
    const { usage } = doneOf(warm);
    assert.equal(usage.cachedTokens, usage.promptTokens - 1);
    assert.equal(textOf(warm), textOf(cold));
  });

  test("choices of one request evaluate the prompt once, and a copied state goes on the same way", async () => {
    const request = chatRequest(`${long} ${story}`, { choices: 4, maxTokens: 20 });
    const steps = await collect(engine, request);
    const { usage, timings } = doneOf(steps);
    assert.equal(timings.promptTokens + timings.cachedTokens, usage.promptTokens);
    const [first] = [textOf(steps, 0)];
    for (const choice of [1, 2, 3]) assert.equal(textOf(steps, choice), first);
    assert.equal(textOf(await collect(addon, request)), first);
  });

  test("an answer that fills the context ends with length and shifts nothing", async () => {
    const sampling: SamplingOptions = { ...creative, temperature: 2 };
    const request = chatRequest("The cat sat on the mat. ".repeat(215), { maxTokens: undefined, sampling });
    const steps = await collect(engine, request);
    const { usage } = doneOf(steps);
    assert.equal(finishOf(steps), "length");
    assert.equal(usage.promptTokens + usage.completionTokens, 2048);
  });

  test("a client that leaves ends its answer and frees the slot", async () => {
    const leaving = new AbortController();
    const request = chatRequest(story, { maxTokens: 1500, sampling: { ...creative, temperature: 2 } });
    const { steps } = await engine.generate(request, leaving.signal);
    await assert.rejects(
      async () => {
        let seen = 0;
        for await (const step of steps) if (step.type === "text" && ++seen === 3) leaving.abort();
      },
      { code: "client_left" },
    );
    await whenIdle(engine);
  });

  test("embeddings of short texts and of those longer than a piece are the addon's", async () => {
    const inputs = [["What is the capital of France?"], [long]];
    const never = new AbortController().signal;
    const [ours, theirs] = [await engine.embed(inputs, never), await addon.embed(inputs, never)];
    for (const [index, { vector, tokens }] of ours.entries()) {
      const other = theirs[index]!;
      assert.equal(tokens, other.tokens);
      const largest = Math.max(...other.vector.map(Math.abs));
      for (const [at, value] of vector.entries()) assert.ok(Math.abs(value - other.vector[at]!) < 1e-3 * largest);
    }
  });

  test("over HTTP a chat is answered and streamed, and what needs a grammar is refused by name", async (t) => {
    const { url } = await listen(t, appOf(engine));
    const ask = (fields: object) =>
      fetch(`${url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          messages: [{ role: "user", content: "Say this is a test" }],
          temperature: 0,
          ...fields,
        }),
      });
    const whole = (await (await ask({})).json()) as { choices: { message: { content: string } }[] };
    assert.equal(whole.choices[0]?.message.content, "This is a test.");
    const events = eventsIn(await (await ask({ stream: true })).text());
    assert.equal(events.at(-1), "[DONE]");
    const pieces = events
      .slice(0, -1)
      .map((event) => JSON.parse(event) as { choices: { delta: { content?: string } }[] });
    assert.equal(pieces.map(({ choices }) => choices[0]?.delta.content ?? "").join(""), "This is a test.");
    for (const stream of [false, true]) {
      const refused = await ask({ stream, response_format: { type: "json_object" } });
      assert.ok(refused.status >= 400 && refused.status < 600, `status ${refused.status}`);
      const { error } = (await refused.json()) as { error: { code: string; message: string } };
      assert.equal(error.code, "not_supported");
      assert.match(error.message, /need node-llama-cpp's addon of the pinned version/);
    }
  });
});

for (const kind of ["bert", "qwen3"] as const) {
  test(`a model that ranks is refused by name, not ranked otherwise: ${kind}`, async (t) => {
    const ranker = makeRankingModel(kind);
    t.after(() => ranker.remove());
    const engine = await startRanker(ranker.path, "public");
    t.after(() => engine.close());
    const ranking = engine.rank("a fox", ["a fox", "a river"], new AbortController().signal);
    await assert.rejects(ranking, { code: "not_supported", message: /Ranking.*addon of the pinned version/ });
  });
}

test("a state is copied with its tokens; a file without them is refused and leaves nothing behind", async (t) => {
  const native = await openPublicNative();
  const model = await native.openModel(demoModelPath);
  const context = await native.openContext(model, { cells: 512, sequences: 2, threads: 1, batchTokens: 512 });
  const tokens = model.tokenize(story, false);
  context.initBatch(tokens.length);
  const [row] = context.addToBatch(0, 0, tokens, Uint32Array.of(tokens.length - 1));
  await context.decodeBatch();
  const best = native.createSampler(model, { temperature: 0, seed: 1 });
  const token = await context.sampleToken(row!, best);
  await context.copySequenceStateFromOtherSequence(1, 0);
  const next: number[] = [];
  for (const sequence of [0, 1]) {
    context.initBatch(1);
    const [following] = context.addToBatch(sequence, tokens.length, Uint32Array.of(token), Uint32Array.of(0));
    await context.decodeBatch();
    next.push(await context.sampleToken(following!, best));
  }
  assert.equal(next[1], next[0]);
  // What is cut is gone for the next batch, and a batch elsewhere than at the end is a fault.
  assert.equal(context.removeTokenCellsFromSequence(1, 3, -1), true);
  context.initBatch(1);
  context.addToBatch(1, 5, Uint32Array.of(token), Uint32Array.of(0));
  await assert.rejects(context.decodeBatch(), /holds 3 tokens, not 5/);
  const directory = await mkdtemp(join(tmpdir(), "pinference-test-"));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, "state");
  await saveByAddon(path, tokens);
  await assert.rejects(context.loadSequenceStateFromFile(path, 1, 1), /does not hold the tokens/);
  context.disposeSequence(1);
  context.initBatch(tokens.length);
  const [again] = context.addToBatch(1, 0, tokens, Uint32Array.of(tokens.length - 1));
  await context.decodeBatch();
  assert.equal(await context.sampleToken(again!, best), token);
  await context.dispose();
  await model.dispose();
  await native.close();
});

/** The state of two sequences' first, without its tokens. */
async function saveByAddon(path: string, tokens: Uint32Array): Promise<void> {
  const native = await openNative();
  const model = await native.openModel(demoModelPath);
  const context = await native.openContext(model, { cells: 512, sequences: 2, threads: 1, batchTokens: 512 });
  context.initBatch(tokens.length);
  context.addToBatch(0, 0, tokens, new Uint32Array(0));
  await context.decodeBatch();
  await context.saveSequenceStateToFile(path, 0, new Uint32Array(0));
  await context.dispose();
  await model.dispose();
}
