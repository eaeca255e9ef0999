/** Real answers under grammars: whatever the schema and the temperature, what ends by itself fits. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";

import type { Engine } from "../../../src/domain/engine.ts";
import type { SamplingOptions } from "../../../src/domain/generation.ts";
import { startEngine } from "../../../src/engine/load.ts";
import { schemaToGrammar } from "../../../src/grammar/json-schema.ts";
import { chatRequest, creative, demoModelPath, greedy } from "../../support/demo-model.ts";
import { schemaCases } from "../../support/schema-cases.ts";

const ajv = new Ajv2020({ strict: false, validateFormats: false });
const never = new AbortController().signal;

describe("answers under a grammar, demo model", () => {
  let engine: Engine;
  before(async () => {
    const options = { modelPath: demoModelPath, modelId: "demo", aliases: [], contextLength: undefined };
    engine = startEngine({ ...options, slots: 4, queueLength: 16, threads: 1 });
    await engine.ready;
  });
  after(() => engine.close());

  async function answer(grammar: string, sampling: Partial<SamplingOptions> = {}, rest: object = {}) {
    const request = chatRequest("Answer in JSON.", {
      maxTokens: 200,
      grammar,
      sampling: { ...greedy, ...sampling },
      ...rest,
    });
    const texts: string[] = [];
    const reasons: string[] = [];
    for await (const step of (await engine.generate(request, never)).steps) {
      if (step.type === "text") texts[step.choice] = (texts[step.choice] ?? "") + step.text;
      if (step.type === "finish") reasons[step.choice] = step.reason;
    }
    return { texts, reasons, text: texts[0] ?? "", reason: reasons[0] };
  }

  test(`${schemaCases.length} schemas at temperatures 0, 1 and 2: every complete answer parses and fits`, async () => {
    assert.ok(schemaCases.length >= 100);
    const failures: string[] = [];
    let complete = 0;
    const check = async (schema: object, temperature: number, index: number) => {
      const grammar = schemaToGrammar(schema, { strict: false, param: "schema" });
      const { text, reason } = await answer(grammar, { ...creative, temperature, seed: BigInt(index) });
      if (reason !== "stop") return;
      complete += 1;
      try {
        if (!ajv.validate(schema, JSON.parse(text)))
          failures.push(`${JSON.stringify(schema)} ${text} ${ajv.errorsText()}`);
      } catch (error) {
        failures.push(`${JSON.stringify(schema)} ${text} ${String(error)}`);
      }
    };
    const jobs = [0, 1, 2].flatMap((temperature) =>
      schemaCases.map((schema, index) => [schema, temperature, index] as const),
    );
    const workers = Array.from({ length: 4 }, async () => {
      for (let job = jobs.pop(); job !== undefined; job = jobs.pop()) await check(...job);
    });
    await Promise.all(workers);
    assert.deepEqual(failures, []);
    assert.ok(complete > schemaCases.length * 2, `${complete} answers ended by themselves`);
  });

  test("an answer ends where its grammar can only end, also when no end token may be chosen", async () => {
    const grammar = 'root ::= "yes" | "no"';
    for (const ignoreEos of [false, true]) {
      const { text, reason } = await answer(grammar, { ignoreEos });
      assert.match(text, /^(yes|no)$/);
      assert.equal(reason, "stop");
    }
  });

  test("each choice follows the grammar on its own, with penalties, biases and all samplers", async () => {
    const sampling = {
      ...creative,
      temperature: 2,
      repeatPenalty: 1.5,
      presencePenalty: 1,
      xtcProbability: 0.5,
      ignoreEos: true,
    };
    const { texts, reasons } = await answer('root ::= "[" [0-9]{3} ("," [a-f]{2}){2} "]"', sampling, { choices: 4 });
    assert.deepEqual(reasons, ["stop", "stop", "stop", "stop"]);
    for (const text of texts) assert.match(text, /^\[[0-9]{3}(,[a-f]{2}){2}\]$/);
    assert.ok(new Set(texts).size > 1);
  });

  test("the same seed gives the same answer", async () => {
    const run = () => answer("root ::= [a-z]{20}", { ...creative, seed: 5n });
    const alone = await run();
    assert.deepEqual(await Promise.all([run(), run(), run()]), [alone, alone, alone]);
  });

  test("an answer whose allowed tokens are all banned is cut; the others go on", async () => {
    const banned = Array.from({ length: engine.model.vocabularySize }, (_, token) => ({ token, bias: -Infinity }));
    const [cut, whole] = await Promise.all([answer('root ::= "ab"', { logitBias: banned }), answer('root ::= "cd"')]);
    assert.equal(cut.reason, "length");
    assert.deepEqual([whole.text, whole.reason], ["cd", "stop"]);
  });

  test("a grammar that cannot be used is refused before the first step", async () => {
    await assert.rejects(answer("root ::= nowhere"), { code: "invalid_grammar", param: "grammar" });
  });
});
