import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import type { Engine } from "../../../src/domain/engine.ts";
import { DEFAULT_SAMPLERS, type SamplingOptions } from "../../../src/domain/generation.ts";
import { startEngine } from "../../../src/engine/load.ts";
import { startDemoEngine } from "../../support/demo-engine.ts";
import { chatRequest, creative, greedy } from "../../support/demo-model.ts";
import { collect, doneOf, finishOf, textOf, tokensOf } from "../../support/steps.ts";
import { makeWideModel } from "../../support/wide-model.ts";

const story = "Tell me a story about a fox named Ada.";
const usual: SamplingOptions = { ...creative, temperature: 1, topK: 40, topP: 0.95, minP: 0.05 };

const SAMPLINGS: readonly (readonly [name: string, sampling: SamplingOptions])[] = [
  ["greedy", greedy],
  ["plain temperature", creative],
  ["the usual chain", usual],
  ["mirostat 1", { ...creative, mirostat: { version: 1, tau: 3, eta: 0.1 } }],
  ["mirostat 2", { ...creative, mirostat: { version: 2, tau: 3, eta: 0.1 } }],
  ["typical-p", { ...creative, typicalP: 0.7 }],
  ["top-n-sigma", { ...creative, topNSigma: 1 }],
  ["dynamic temperature", { ...usual, dynatempRange: 0.7 }],
  ["adaptive-p", { ...usual, adaptiveP: { target: 0.4, decay: 0.9 }, samplers: [...DEFAULT_SAMPLERS, "adaptive_p"] }],
  ["another order", { ...usual, temperature: 2, samplers: ["temperature", "top_p", "xtc", "min_p", "penalties"] }],
  ["min_keep", { ...usual, topP: 0.1, minKeep: 5 }],
  ["XTC", { ...usual, xtcProbability: 0.5 }],
  [
    "penalties, DRY and biases",
    {
      ...usual,
      repeatPenalty: 1.3,
      presencePenalty: 0.5,
      dry: { multiplier: 2, base: 1.75, allowedLength: 1, lastN: -1, sequenceBreakers: ["\n"] },
      logitBias: [{ text: "a", bias: -5 }],
      ignoreEos: true,
    },
  ],
];

const GRAMMAR = String.raw`root ::= "{\"name\": \"" [a-z]{3,9} "\", \"ages\": [" age ("," age){0,3} "]}"
age ::= [1-9] [0-9]?`;
const FITS = /^\{"name": "[a-z]{3,9}", "ages": \[[1-9]\d?(,[1-9]\d?){0,3}\]\}$/;

describe("grammars, demo model", () => {
  let engine: Engine;
  before(async () => {
    engine = await startDemoEngine({ slots: 4, queueLength: 32 });
  });
  after(() => engine.close());

  for (const [name, sampling] of SAMPLINGS) {
    test(`${name}: answers fit the grammar, repeat with their seed, alone and under load`, async () => {
      const request = chatRequest(story, {
        grammar: GRAMMAR,
        choices: 3,
        topLogprobs: 2,
        sampling: { ...sampling, seed: 5n },
      });
      const textsOf = async () => {
        const steps = await collect(engine, request);
        for (const choice of [0, 1, 2]) {
          assert.equal(finishOf(steps, choice), "stop");
          assert.equal(
            Buffer.from(tokensOf(steps, choice).flatMap(({ bytes }) => bytes)).toString(),
            textOf(steps, choice),
          );
        }
        return [0, 1, 2].map((choice) => textOf(steps, choice));
      };
      const alone = await textsOf();
      for (const text of alone) assert.match(text, FITS);
      const [loaded] = await Promise.all([
        textsOf(),
        collect(engine, chatRequest("Count to 5.", { choices: 3, maxTokens: 30, sampling: creative })),
      ]);
      assert.deepEqual(loaded, alone);
    });

    test(`${name}: a grammar that sleeps governs from its trigger on`, async () => {
      const lazyGrammar = { triggers: ["<call>", "Once"], grammar: 'root ::= ("<call>" | "Once") " [" [0-9]{2,5} "]"' };
      const free = textOf(
        await collect(engine, chatRequest(story, { sampling: { ...sampling, seed: 9n }, maxTokens: 40 })),
      );
      const steps = await collect(
        engine,
        chatRequest(story, { lazyGrammar, sampling: { ...sampling, seed: 9n }, maxTokens: 120 }),
      );
      const text = textOf(steps);
      if (/<call>|Once/.test(text)) assert.match(text, /(<call>|Once) \[\d{0,5}(\]$)?/);
      else assert.ok(text.length > 0 || free.length === 0);
    });
  }

  const quote = (text: string) => JSON.stringify(text);

  test("a trigger across several tokens, with its end or its beginning inside of one, wakes the grammar", async () => {
    const plain = textOf(await collect(engine, chatRequest("Say this is a test")));
    assert.equal(plain, "This is a test.");
    for (const trigger of ["This", "his is", "s is a", "t.", " "]) {
      const start = plain.indexOf(trigger);
      const lazyGrammar = { triggers: [trigger], grammar: `root ::= ${quote(trigger)} [A-Za-z]{3}` };
      const text = textOf(await collect(engine, chatRequest("Say this is a test", { lazyGrammar })));
      assert.ok(text.startsWith(plain.slice(0, start) + trigger), text);
      assert.match(text.slice(start + trigger.length), /^[A-Za-z]{3}$/, text);
    }
  });

  test("what the token of a trigger brings beyond it has to fit: another token is taken where it does not", async () => {
    for (const [trigger, rest] of [
      [" te", "am"],
      ["s i", "X"],
      ["Th", "ere"],
    ] as const) {
      const lazyGrammar = { triggers: [trigger], grammar: `root ::= ${quote(trigger + rest)}` };
      const text = textOf(await collect(engine, chatRequest("Say this is a test", { lazyGrammar })));
      assert.notEqual(text, "This is a test.");
      if (text.includes(trigger)) assert.ok(text.endsWith(trigger + rest), text);
    }
  });

  test("a trigger that is a token of its own, hidden or not, wakes the grammar", async () => {
    const lazyGrammar = { triggers: ["<tool_call>"], grammar: 'root ::= "<tool_call>" "{" [0-9]+ "}"' };
    const [token] = engine.tokenize(["<tool_call>"], { addSpecial: false, parseSpecial: true });
    const sampling: SamplingOptions = { ...greedy, logitBias: [{ token: token!, bias: 1000 }] };
    const steps = await collect(
      engine,
      chatRequest(story, { lazyGrammar, sampling, maxTokens: 6, visibleTokens: ["<tool_call>"] }),
    );
    assert.match(textOf(steps), /^<tool_call>\{\d+/);
  });

  test("without its trigger the answer is as free as without the grammar", async () => {
    const lazyGrammar = { triggers: ["never said"], grammar: 'root ::= "never said"' };
    assert.equal(
      textOf(await collect(engine, chatRequest(story, { lazyGrammar }))),
      textOf(await collect(engine, chatRequest(story))),
    );
  });

  test("a grammar that does not parse is refused, sleeping or not", async () => {
    const broken = "root ::= (";
    await assert.rejects(engine.generate(chatRequest(story, { grammar: broken }), new AbortController().signal), {
      code: "invalid_grammar",
    });
    const lazyGrammar = { triggers: ["a"], grammar: broken };
    await assert.rejects(engine.generate(chatRequest(story, { lazyGrammar }), new AbortController().signal), {
      code: "invalid_grammar",
    });
  });

  test("where biases leave no token the answer is cut, and others go on", async () => {
    const sampling: SamplingOptions = {
      ...usual,
      logitBias: Array.from({ length: engine.model.vocabularySize }, (_, token) => ({ token, bias: -Infinity })),
    };
    const [stuck, fine] = await Promise.all([
      collect(engine, chatRequest(story, { grammar: 'root ::= "abc"', sampling })),
      collect(engine, chatRequest("Say this is a test")),
    ]);
    assert.equal(finishOf(stuck), "length");
    assert.equal(textOf(fine), "This is a test.");
  });
});

test("grammars hold on a vocabulary of 152k tokens that never wants to comply", async () => {
  const file = makeWideModel();
  const engine = startEngine({
    modelPath: file.path,
    modelId: "wide",
    aliases: [],
    contextLength: 512,
    slots: 2,
    queueLength: 4,
    threads: 1,
  });
  await engine.ready;
  for (const [, sampling] of SAMPLINGS.slice(0, 6)) {
    const steps = await collect(
      engine,
      chatRequest("Hi", { grammar: 'root ::= "[" [0-9]{2} (", " [0-9]{2}){2} "]"', sampling }),
    );
    assert.match(textOf(steps), /^\[\d\d, \d\d, \d\d\]$/);
    assert.equal(doneOf(steps).type, "done");
  }
  await engine.close();
  file.remove();
});
