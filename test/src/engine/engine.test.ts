import assert from "node:assert/strict";
import { setMaxListeners } from "node:events";
import { after, before, describe, test } from "node:test";

import type { Engine } from "../../../src/domain/engine.ts";
import type { GenerateRequest, GenerationStep, SamplingOptions } from "../../../src/domain/generation.ts";
import { startEngine, type EngineOptions } from "../../../src/engine/load.ts";
import { whenIdle } from "../../support/api-fuzz.ts";
import { chatRequest, creative, demoModelPath, greedy, requestOf, transcripts } from "../../support/demo-model.ts";

const options: EngineOptions = {
  modelPath: demoModelPath,
  modelId: "demo",
  aliases: [],
  contextLength: undefined,
  slots: 4,
  queueLength: 16,
  threads: 1,
};

const never = new AbortController().signal;
setMaxListeners(0, never);
const story = "Tell me a story about a fox named Ada.";

async function collect(engine: Engine, request: GenerateRequest, signal = never): Promise<GenerationStep[]> {
  const steps: GenerationStep[] = [];
  for await (const step of (await engine.generate(request, signal)).steps) steps.push(step);
  return steps;
}
function textOf(steps: readonly GenerationStep[], choice = 0): string {
  return steps.map((step) => (step.type === "text" && step.choice === choice ? step.text : "")).join("");
}
function doneOf(steps: readonly GenerationStep[]) {
  const done = steps.at(-1);
  assert.ok(done?.type === "done");
  return done;
}
function finishOf(steps: readonly GenerationStep[], choice = 0): string | undefined {
  return steps.flatMap((step) => (step.type === "finish" && step.choice === choice ? [step.reason] : []))[0];
}

describe("engine, demo model", () => {
  let engine: Engine;
  before(async () => {
    engine = startEngine(options);
    await engine.ready;
  });
  after(() => engine.close());

  for (const [index, transcript] of transcripts.entries()) {
    test(`golden transcript ${index} (${transcript.skill}) is reproduced`, async () => {
      const steps = await collect(engine, requestOf(transcript));
      assert.equal(textOf(steps), transcript.expected_raw);
      assert.equal(finishOf(steps), "stop");
    });
  }

  test("all transcripts at once, four slots, give the same texts", async () => {
    const all = await Promise.all(
      transcripts.slice(0, 20).map(async (transcript) => textOf(await collect(engine, requestOf(transcript)))),
    );
    assert.deepEqual(
      all,
      transcripts.slice(0, 20).map((transcript) => transcript.expected_raw),
    );
  });

  test("steps come in order: started, text, finish, done", async () => {
    const kinds = (await collect(engine, chatRequest("Say this is a test"))).map((step) => step.type);
    assert.equal(kinds[0], "started");
    assert.deepEqual(kinds.slice(-2), ["finish", "done"]);
    assert.ok(kinds.slice(1, -2).every((kind) => kind === "text"));
  });

  test("no tokens at all are sampled where none are wanted, and the prompt's state is kept", async () => {
    const steps = await collect(engine, chatRequest("Say the lamp is warm", { maxTokens: 0, choices: 2 }));
    assert.equal(textOf(steps), "");
    assert.deepEqual([finishOf(steps, 0), finishOf(steps, 1)], ["length", "length"]);
    assert.equal(doneOf(steps).usage.completionTokens, 0);
    const again = doneOf(await collect(engine, chatRequest("Say the lamp is warm"))).usage;
    assert.equal(again.cachedTokens, again.promptTokens - 1);
  });

  test("an end tells the tokens of its choice and the stop sequence that was met", async () => {
    const steps = await collect(engine, chatRequest("Say this is a test", { stop: ["nothing", " a"] }));
    const finish = steps.find((step) => step.type === "finish");
    assert.ok(finish?.ending?.slot !== undefined);
    const { slot, ...ending } = finish.ending;
    assert.equal(steps[0]?.type === "started" ? steps[0].slot : undefined, slot);
    assert.deepEqual(ending, { tokens: doneOf(steps).usage.completionTokens, stop: " a" });
  });

  test("the second turn of a conversation reuses the first one's state", async () => {
    const first = [{ role: "user", content: "My name is Ada. Please remember it." }] as const;
    const answer = textOf(await collect(engine, chatRequest(first)));
    const next = [
      ...first,
      { role: "assistant", content: answer },
      { role: "user", content: "What is my name?" },
    ] as const;
    const { usage } = doneOf(await collect(engine, chatRequest(next)));
    assert.ok(usage.cachedTokens > 15, `cached ${usage.cachedTokens} of ${usage.promptTokens}`);
    assert.ok(usage.cachedTokens < usage.promptTokens);
  });

  test("the same prompt twice leaves one token to evaluate, and the text is the same", async () => {
    const request = chatRequest("Say the river is wide");
    const [cold, warm] = [await collect(engine, request), await collect(engine, request)];
    const { usage, timings } = doneOf(warm);
    assert.equal(usage.cachedTokens, usage.promptTokens - 1);
    assert.equal(timings.promptTokens, 1);
    assert.equal(textOf(warm), textOf(cold));
  });

  test("a stop sequence ends the text before it and is never sent", async () => {
    const request = chatRequest("Say this is a test", { stop: ["a te"] });
    const steps = await collect(engine, request);
    assert.equal(textOf(steps), "This is ");
    assert.equal(finishOf(steps), "stop");
  });

  test("the token limit ends with length and counts exactly", async () => {
    const steps = await collect(engine, chatRequest(story, { maxTokens: 7 }));
    assert.equal(finishOf(steps), "length");
    assert.equal(doneOf(steps).usage.completionTokens, 7);
  });

  test("one token is enough", async () => {
    const steps = await collect(engine, chatRequest("Say this is a test", { maxTokens: 1 }));
    assert.equal(textOf(steps), "This");
    assert.equal(finishOf(steps), "length");
  });

  test("same seed, same text: alone, under load, and another seed differs", async () => {
    const request = chatRequest(story, { sampling: creative, maxTokens: 60 });
    const alone = textOf(await collect(engine, request));
    const [loaded] = await Promise.all([
      collect(engine, request),
      ...[1n, 2n, 3n, 4n, 5n].map((seed) =>
        collect(engine, chatRequest(`Count to ${seed + 3n}.`, { sampling: { ...creative, seed }, maxTokens: 40 })),
      ),
    ]);
    assert.equal(textOf(loaded), alone);
    const other = await collect(engine, chatRequest(story, { sampling: { ...creative, seed: 8n }, maxTokens: 60 }));
    assert.notEqual(textOf(other), alone);
  });

  test("seeds that differ in the upper 32 bits only give different texts", async () => {
    const at = async (seed: bigint) =>
      textOf(await collect(engine, chatRequest(story, { sampling: { ...creative, seed }, maxTokens: 40 })));
    assert.notEqual(await at(5n), await at(5n + (1n << 40n)));
  });

  test("without a seed two answers differ", async () => {
    const request = chatRequest(story, { sampling: { ...creative, seed: undefined }, maxTokens: 40 });
    const [one, two] = await Promise.all([collect(engine, request), collect(engine, request)]);
    assert.notEqual(textOf(one), textOf(two));
  });

  test("choices of one request differ, repeat with the seed, and evaluate the prompt once", async () => {
    const request = chatRequest(story, { choices: 6, sampling: creative, maxTokens: 30 });
    const [steps, again] = [await collect(engine, request), await collect(engine, request)];
    const texts = [0, 1, 2, 3, 4, 5].map((choice) => textOf(steps, choice));
    assert.equal(new Set(texts).size, 6);
    assert.deepEqual(
      [0, 1, 2, 3, 4, 5].map((choice) => textOf(again, choice)),
      texts,
    );
    const { usage, timings } = doneOf(steps);
    assert.equal(usage.completionTokens <= 180 && usage.completionTokens > 60, true);
    assert.equal(timings.promptTokens + timings.cachedTokens, usage.promptTokens);
  });

  test("text is never cut inside a character", async () => {
    const phrase = "Repeat after me: 🦊 naïve café 🌍";
    for (let maxTokens = 1; maxTokens < 16; maxTokens++) {
      const text = textOf(await collect(engine, chatRequest(phrase, { maxTokens })));
      assert.ok(!text.includes("\uFFFD"), JSON.stringify(text));
    }
  });

  test("a repeat penalty changes the text and covers the prompt", async () => {
    const request = chatRequest("Repeat after me: ha ha ha ha ha ha", {});
    const plain = textOf(await collect(engine, request));
    const penalized = textOf(
      await collect(engine, { ...request, sampling: { ...greedy, repeatPenalty: 2, frequencyPenalty: 2 } }),
    );
    assert.notEqual(penalized, plain);
  });

  test("a token that is never chosen is avoided, one with a high bias is chosen, ids beyond the vocabulary are refused", async () => {
    const ask = async (logitBias: SamplingOptions["logitBias"]) =>
      textOf(
        await collect(engine, chatRequest("Say this is a test", { maxTokens: 4, sampling: { ...greedy, logitBias } })),
      );
    assert.ok(!(await ask([{ text: "This", bias: -Infinity }])).startsWith("This"));
    assert.equal(await ask([{ token: 48, bias: 100 }]), await ask([{ token: 48, bias: 1000 }]));
    assert.notEqual(await ask([{ token: 48, bias: 100 }]), "This is a");
    await assert.rejects(ask([{ token: 2048, bias: 1 }]), { code: "invalid_value", param: "logit_bias" });
  });

  test("with ignoreEos an answer goes on to its limit", async () => {
    const request = chatRequest("Say this is a test", { maxTokens: 40, sampling: { ...greedy, ignoreEos: true } });
    const steps = await collect(engine, request);
    assert.equal(finishOf(steps), "length");
    assert.ok(textOf(steps).startsWith("This is a test."));
  });

  test("XTC drops the likeliest candidates: its text is not the greedy one, and repeats with the seed", async () => {
    const sampling = { ...greedy, temperature: 1, xtcProbability: 1, xtcThreshold: 0.05, seed: 3n };
    const request = chatRequest(story, { maxTokens: 40, sampling });
    const [plain, one, two] = [
      textOf(
        await collect(engine, chatRequest(story, { maxTokens: 40, sampling: { ...sampling, xtcProbability: 0 } })),
      ),
      textOf(await collect(engine, request)),
      textOf(await collect(engine, request)),
    ];
    assert.notEqual(one, plain);
    assert.equal(two, one);
  });

  test("DRY breaks a repetition that the model would go on with", async () => {
    const endless = { ...greedy, ignoreEos: true };
    const request = chatRequest("Say this is a test", { maxTokens: 120, sampling: endless });
    const dry = { multiplier: 5, base: 2, allowedLength: 2, lastN: -1, sequenceBreakers: ["\n"] };
    const longest = (text: string) =>
      Math.max(...text.split(/[.\n]/).map((part, _, all) => all.filter((other) => other === part).length));
    const [plain, dried] = [
      textOf(await collect(engine, request)),
      textOf(await collect(engine, { ...request, sampling: { ...endless, dry } })),
    ];
    assert.ok(longest(dried) < longest(plain), `${longest(plain)} repetitions became ${longest(dried)}`);
  });

  test("a prompt as long as the context is refused with both numbers", async () => {
    const request = chatRequest("word ".repeat(3000));
    await assert.rejects(
      engine.generate(request, never),
      (error: { code: string; details: Record<string, number> }) => {
        assert.equal(error.code, "context_length_exceeded");
        assert.equal(error.details.n_ctx, 2048);
        assert.ok(error.details.n_prompt_tokens! >= 2048);
        return true;
      },
    );
  });

  test("a huge prompt is refused soon, and others are answered meanwhile", async () => {
    const refusal = assert.rejects(engine.generate(chatRequest("lorem ipsum ".repeat(350_000)), never), {
      code: "context_length_exceeded",
    });
    const first = await Promise.race([
      refusal.then(() => "huge"),
      collect(engine, chatRequest("Hello")).then(() => "short"),
    ]);
    assert.equal(first, "short");
    await refusal;
  });

  test("an answer that fills the context ends with length", async () => {
    const filler = "The cat sat on the mat. ".repeat(215);
    const steps = await collect(
      engine,
      chatRequest(filler, { maxTokens: undefined, sampling: { ...creative, temperature: 2 } }),
    );
    const { usage } = doneOf(steps);
    assert.equal(finishOf(steps), "length");
    assert.equal(usage.promptTokens + usage.completionTokens, 2048);
  });

  test("an abort ends the steps with client_left and frees the slot", async () => {
    const leaving = new AbortController();
    const { steps } = await engine.generate(
      chatRequest(story, { maxTokens: 1500, sampling: { ...creative, temperature: 2 } }),
      leaving.signal,
    );
    await assert.rejects(
      async () => {
        let seen = 0;
        for await (const step of steps) if (step.type === "text" && ++seen === 3) leaving.abort();
      },
      { code: "client_left" },
    );
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual(
      engine.status().slots.map((slot) => slot.busy),
      [false, false, false, false],
    );
  });

  for (const choices of [1, 5]) {
    for (const phase of ["queued", "prompt", "generating"] as const) {
      test(`a client that leaves while ${phase} leaves nothing behind (n=${choices})`, async () => {
        const others = new AbortController();
        const endless = { maxTokens: 1500, sampling: { ...creative, temperature: 2 } };
        if (phase === "queued") {
          setMaxListeners(0, others.signal);
          const busy = chatRequest(story, { ...endless, choices: 128 });
          for (let slot = 0; slot < 4; slot++) await engine.generate(busy, others.signal);
        }
        const leaving = new AbortController();
        const filler = phase === "prompt" ? `${choices} owls ${"and an owl ".repeat(250)}` : story;
        const { steps } = await engine.generate(chatRequest(filler, { ...endless, choices }), leaving.signal);
        const iterator = steps[Symbol.asyncIterator]();
        if (phase === "generating") for (let seen = 0; seen < 20; seen++) await iterator.next();
        if (phase === "queued") while (engine.status().queued > 1) await new Promise(setImmediate);
        leaving.abort();
        others.abort();
        assert.equal(engine.status().queued, 0);
        await assert.rejects(
          async () => {
            for (;;) if ((await iterator.next()).done === true) return;
          },
          { code: "client_left" },
        );
        await whenIdle(engine);
      });
    }
  }

  test("one request of many choices leaves the queue to others", async () => {
    const leaving = new AbortController();
    const many = chatRequest(story, { choices: 128, maxTokens: 200, sampling: { ...creative, temperature: 2 } });
    const { steps } = await engine.generate(many, leaving.signal);
    for await (const step of steps) if (step.type === "text") break;
    assert.equal(engine.status().queued, 0);
    assert.equal(textOf(await collect(engine, chatRequest("Say this is a test"))), "This is a test.");
    leaving.abort();
    await whenIdle(engine);
  });

  test("no tokens wanted, none given: the prompt is evaluated", async () => {
    const steps = await collect(engine, chatRequest("Say the sea is calm", { maxTokens: 0, choices: 2 }));
    assert.deepEqual(
      steps.map(({ type }) => type),
      ["started", "finish", "finish", "done"],
    );
    assert.equal(doneOf(steps).usage.completionTokens, 0);
    assert.equal(finishOf(steps, 1), "length");
  });

  test("more messages than the context has tokens are refused at once", async () => {
    const messages = Array.from({ length: 10_000 }, () => ({ role: "user", content: "a" }) as const);
    const startedAt = performance.now();
    await assert.rejects(engine.generate(chatRequest(messages), never), { code: "context_length_exceeded" });
    assert.ok(performance.now() - startedAt < 200);
  });

  test("leaving the loop frees the slot too", async () => {
    const { steps } = await engine.generate(chatRequest(story, { maxTokens: 1500 }), never);
    for await (const step of steps) if (step.type === "text") break;
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.ok(engine.status().slots.every((slot) => !slot.busy));
  });

  test("a request that leaves the queue is never run; one too many is refused", async () => {
    const leaving = new AbortController();
    setMaxListeners(0, leaving.signal);
    const running = Array.from({ length: 20 }, () =>
      engine.generate(
        chatRequest(story, { maxTokens: 300, sampling: { ...creative, temperature: 2 } }),
        leaving.signal,
      ),
    );
    await Promise.all(running);
    await assert.rejects(engine.generate(chatRequest("Hello"), never), { code: "rate_limit_exceeded" });
    leaving.abort();
    assert.equal(engine.status().queued, 0);
    assert.equal(textOf(await collect(engine, chatRequest("Say this is a test"))), "This is a test.");
  });
});

test("how much of the model is loaded grows to all of it", async () => {
  const starting = startEngine({ ...options, slots: 1 });
  assert.equal(starting.loadProgress, 0);
  await starting.ready;
  assert.equal(starting.loadProgress, 1);
  await starting.close();
});

test("a file that is no model is refused by ready", async () => {
  const engine = startEngine({ ...options, modelPath: new URL(import.meta.url).pathname });
  await assert.rejects(engine.ready, { code: "model_file_invalid" });
  await engine.close();
});

test("a context longer than the model was trained for is refused", async () => {
  const engine = startEngine({ ...options, contextLength: 1_000_000 });
  await assert.rejects(engine.ready, { code: "config_invalid" });
});

test("close while a prompt is prepared refuses it with shutting_down", async () => {
  const engine = startEngine(options);
  await engine.ready;
  const refused = assert.rejects(engine.generate(chatRequest("word ".repeat(400_000)), never), {
    code: "shutting_down",
  });
  await engine.close();
  await refused;
});

for (const [slots, contextLength] of [
  [1, 300],
  [64, 131],
] as const) {
  test(`${slots} slots of ${contextLength} tokens, no multiple of what llama.cpp wants, are filled to the last`, async () => {
    const engine = startEngine({ ...options, slots, contextLength, queueLength: 100 });
    await engine.ready;
    const filler = "The cat sat on the mat. ".repeat(Math.floor(contextLength / 9.6) - 3);
    const filling = chatRequest(filler, { maxTokens: undefined, sampling: { ...creative, temperature: 2 } });
    const all = await Promise.all(
      Array.from({ length: slots + 5 }, (_, seed) =>
        collect(engine, { ...filling, sampling: { ...filling.sampling, seed: BigInt(seed) } }),
      ),
    );
    let full = 0;
    for (const steps of all) {
      if (finishOf(steps) !== "length") continue;
      const { usage } = doneOf(steps);
      assert.equal(usage.promptTokens + usage.completionTokens, contextLength);
      full += 1;
    }
    assert.ok(full > 0);
    await engine.close();
  });
}

test("close ends running generations with shutting_down", async () => {
  const engine = startEngine(options);
  await engine.ready;
  const { steps } = await engine.generate(chatRequest(story, { maxTokens: 1500 }), never);
  const reading = assert.rejects(
    async () => {
      for await (const step of steps) void step;
    },
    { code: "shutting_down" },
  );
  await engine.close();
  await reading;
  await assert.rejects(engine.generate(chatRequest("Hello"), never), { code: "shutting_down" });
});
