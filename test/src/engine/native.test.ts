import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { NODE_LLAMA_CPP_VERSION, openNative, requireVersion } from "../../../src/engine/native.ts";
import { StateFiles } from "../../../src/engine/state-files.ts";
import { demoModelPath } from "../../support/demo-model.ts";

test("the addon's version is the one that package.json pins", () => {
  const manifest = JSON.parse(readFileSync(new URL("../../../../package.json", import.meta.url), "utf8")) as {
    dependencies: Record<string, string>;
  };
  assert.equal(manifest.dependencies["node-llama-cpp"], NODE_LLAMA_CPP_VERSION);
});

test("another version of the addon is refused, and the way to run it all the same is named", () => {
  requireVersion(NODE_LLAMA_CPP_VERSION);
  assert.throws(() => requireVersion("3.99.0"), {
    code: "model_load_failed",
    message: /3\.99\.0 is installed.*PINFERENCE_BINDINGS=public/,
  });
});

test("a batch of two sequences gives each its own next token, and a copied state goes on the same way", async () => {
  const native = await openNative();
  const model = await native.openModel(demoModelPath);
  const context = await native.openContext(model, { cells: 768, sequences: 3, threads: 1, batchTokens: 512 });
  const greedy = () => native.createSampler(model, { temperature: 0, seed: 1 });
  const tokensOf = (text: string) =>
    model.tokenize(`<|im_start|>user\n${text}<|im_end|>\n<|im_start|>assistant\n`, true);
  const prompts = [tokensOf("Say this is a test"), tokensOf("What is the capital of France?")];

  context.initBatch(prompts[0]!.length + prompts[1]!.length);
  const rows = prompts.map(
    (tokens, sequence) => context.addToBatch(sequence, 0, tokens, Uint32Array.of(tokens.length - 1))[0]!,
  );
  await context.decodeBatch();
  const first = await Promise.all(rows.map((row) => context.sampleToken(row, greedy())));
  assert.equal(model.detokenize(Uint32Array.of(first[0]!)), "This");
  assert.notEqual(first[0], first[1]);

  await context.copySequenceStateFromOtherSequence(2, 0);
  const next: number[] = [];
  for (const sequence of [0, 2]) {
    context.initBatch(1);
    const [row] = context.addToBatch(sequence, prompts[0]!.length, Uint32Array.of(first[0]!), Uint32Array.of(0));
    await context.decodeBatch();
    next.push(await context.sampleToken(row!, greedy()));
  }
  assert.equal(next[0], next[1]);
  assert.equal(context.removeTokenCellsFromSequence(0, 5, -1), true);

  await context.dispose();
  await model.dispose();
  await native.close();
});

test("a saved state goes on in another sequence to the last bit; another context refuses it", async (t) => {
  const files = StateFiles.open();
  if (files === undefined) return t.skip("no file system in memory");
  const native = await openNative();
  const model = await native.openModel(demoModelPath);
  const context = await native.openContext(model, { cells: 768, sequences: 3, threads: 1, batchTokens: 512 });
  const tokens = model.tokenize("The fox lives by the river and the river is wide. ".repeat(9), false);
  assert.ok(tokens.length >= 100 && tokens.length < 250);
  const logprobsAfter = async (sequence: number) => {
    context.initBatch(1);
    const [row] = context.addToBatch(sequence, tokens.length, Uint32Array.of(300), Uint32Array.of(0));
    await context.decodeBatch();
    const sampler = native.createSampler(model, { temperature: 1, topK: 40, seed: 1 });
    return (await context.sampleToken(row!, sampler, false, false, true))[3];
  };
  context.initBatch(tokens.length);
  context.addToBatch(0, 0, tokens, new Uint32Array(0));
  await context.decodeBatch();
  const file = files.create();
  const bytes = await context.saveSequenceStateToFile(file.path, 0, new Uint32Array(0));
  assert.equal(file.bytes, bytes);
  await context.loadSequenceStateFromFile(file.path, 2, 1);
  assert.deepEqual(await logprobsAfter(2), await logprobsAfter(0));

  const other = await native.openContext(model, { cells: 512, sequences: 2, threads: 1, batchTokens: 512 });
  await assert.rejects(other.loadSequenceStateFromFile(file.path, 1, 1), /Failed to load state/);
  file.close();
  await assert.rejects(context.loadSequenceStateFromFile(file.path, 1, 1));

  for (const open of [context, other]) await open.dispose();
  await model.dispose();
  await native.close();
});
