import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import type { Engine } from "../../../src/domain/engine.ts";
import type { GenerateRequest, SamplingOptions } from "../../../src/domain/generation.ts";
import { alphabetOf } from "../../../src/engine/grammar-alphabet.ts";
import { schemaToGrammar } from "../../../src/grammar/json-schema.ts";
import { startDemoEngine } from "../../support/demo-engine.ts";
import { chatRequest, creative, greedy } from "../../support/demo-model.ts";
import { collect, doneOf, finishOf, textOf, tokensOf } from "../../support/steps.ts";

test("of the characters that a grammar does not name, two between each pair that it does are tried", () => {
  const alphabet = new Set(alphabetOf('root ::= "a" [g-m]').map((byte) => String.fromCharCode(byte)));
  for (const named of "agmrot") assert.ok(alphabet.has(named), named);
  for (const between of ["h", "i", "b", "c"]) assert.ok(alphabet.has(between), between);
  assert.ok(!alphabet.has("k"));
  assert.equal(Math.max(...alphabetOf('root ::= "a"')) < 0x80, true);
  assert.ok(alphabetOf('root ::= "ä"').includes(0xc3));
  assert.deepEqual(alphabetOf(`root ::= ${'"a" '.repeat(5000)}`), []);
  assert.ok(alphabetOf(String.raw`root ::= "\xe4"`).includes(0xc3));
});

const record = {
  type: "object",
  properties: {
    identification: { enum: ["registered", "unregistered"] },
    responsible_department: { type: "integer", minimum: 1, maximum: 9 },
    closed: { const: "it is closed, as it always was" },
  },
  required: ["identification", "responsible_department", "closed"],
  additionalProperties: false,
};
const usual: SamplingOptions = { ...creative, temperature: 1, topK: 40, topP: 0.95, minP: 0.05, seed: 3n };
const SAMPLINGS: readonly (readonly [name: string, sampling: SamplingOptions])[] = [
  ["greedy", greedy],
  ["the usual chain", usual],
  ["mirostat 2", { ...creative, mirostat: { version: 2, tau: 3, eta: 0.1 } }],
  ["typical-p", { ...creative, typicalP: 0.7 }],
  ["penalties", { ...usual, repeatPenalty: 1.2 }],
  [
    "mirostat 1 with the last word on ends",
    { ...creative, ignoreEos: true, mirostat: { version: 1, tau: 3, eta: 0.1 } },
  ],
];

describe("what a grammar forces, demo model", () => {
  let engine: Engine;
  before(async () => {
    engine = await startDemoEngine({ slots: 4, queueLength: 64 });
  });
  after(() => engine.close());

  const ask = (grammar: string, options: Partial<GenerateRequest> = {}) =>
    chatRequest("Answer in JSON.", { grammar, maxTokens: 300, ...options });
  const answerTo = async (request: GenerateRequest) => {
    const batchesBefore = engine.status().batches;
    const steps = await collect(engine, request);
    const { usage } = doneOf(steps);
    const batches = engine.status().batches - batchesBefore;
    return { text: textOf(steps), tokens: tokensOf(steps), reason: finishOf(steps), usage, batches };
  };

  test("an answer that is forced as a whole takes no pass for its tokens", async () => {
    const text = '{"name": "a record of the administration", "version": 1}';
    const { batches, usage, ...answer } = await answerTo(ask(`root ::= ${JSON.stringify(text)}`));
    assert.deepEqual([answer.text, answer.reason], [text, "stop"]);
    assert.ok(usage.completionTokens >= 15);
    assert.ok(batches <= 4, `${batches} batches for ${usage.completionTokens} tokens`);
  });

  for (const [name, sampling] of SAMPLINGS) {
    test(`${name}: a record is the same with its probabilities read one by one, and under load`, async () => {
      const grammar = schemaToGrammar(record, { strict: true, param: "schema" });
      const request = ask(grammar, { sampling });
      const answer = await answerTo(request);
      assert.equal(answer.reason, "stop");
      assert.match(
        answer.text,
        /^\{"identification": "(un)?registered", "responsible_department": [1-9], "closed": "it is closed, as it always was"\}$/,
      );
      const read = await answerTo({ ...request, topLogprobs: 1 });
      assert.equal(read.text, answer.text);
      assert.equal(read.usage.completionTokens, answer.usage.completionTokens);
      assert.equal(read.tokens.map(({ text }) => text).join(""), answer.text);
      const together = await Promise.all(
        [request, { ...request, draft: { most: 0 } }, { ...request, reuse: false }, request].map(answerTo),
      );
      for (const one of together) assert.equal(one.text, answer.text);
    });
  }

  test("forced tokens have the model's own probabilities, and probability 1 after the samplers", async () => {
    const grammar = schemaToGrammar(record, { strict: true, param: "schema" });
    const own = await answerTo(ask(grammar, { topLogprobs: 3 }));
    assert.ok(own.tokens.some(({ logprob }) => logprob < -0.5));
    const left = await answerTo(ask(grammar, { topLogprobs: 3, postSampling: true, sampling: usual }));
    const forced = left.tokens.filter(({ text }) => text.includes("ident") || text.includes("always"));
    for (const { logprob } of forced) assert.equal(logprob, 0);
    assert.equal(left.tokens.length, left.usage.completionTokens);
  });

  test("a word that may go on is left to the model, and what is no ASCII to the sampler", async () => {
    const words = await answerTo(ask('root ::= "to be " ("confirmed" | "determined" | "decided")'));
    assert.match(words.text, /^to be (confirmed|determined|decided)$/);
    const umlauts = await answerTo(ask('root ::= "grün" ("e" | "er")? " Bäume" "n"?'));
    assert.match(umlauts.text, /^grün(e|er)? Bäumen?$/);
    const endless = await answerTo(ask('root ::= [a-c]* | "ja"', { maxTokens: 5 }));
    assert.match(endless.text, /^([a-c]*|ja)$/);
  });

  test("a limit and a stop sequence are met inside of forced text", async () => {
    const grammar = 'root ::= "one two three four five six seven eight nine ten"';
    for (const maxTokens of [1, 2, 5, 9]) {
      const { usage, reason } = await answerTo(ask(grammar, { maxTokens }));
      assert.deepEqual([usage.completionTokens, reason], [maxTokens, "length"]);
    }
    const stopped = await answerTo(ask(grammar, { stop: ["five"] }));
    assert.deepEqual([stopped.text, stopped.reason], ["one two three four ", "stop"]);
  });

  test("a grammar that is too large to be asked forces nothing, and is followed", async () => {
    const branches = Array.from({ length: 3000 }, (_, index) => `"one ${index}"`).join(" | ");
    const { text } = await answerTo(ask(`root ::= ${branches}`));
    assert.match(text, /^one \d{1,4}$/);
  });

  test("biases are heard: then nothing is forced", async () => {
    const logitBias = [{ text: "o", bias: -1 }];
    const { text } = await answerTo(ask('root ::= "one two"', { sampling: { ...greedy, logitBias } }));
    assert.equal(text, "one two");
  });
});
