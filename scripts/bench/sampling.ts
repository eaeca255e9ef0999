/**
 * What choosing a token costs beside computing it: milliseconds per token of one answer with each sampler, and what it
 * costs more than the native chain. Arguments: a model's path, or the demo model; rounds; tokens of an answer.
 */
import { availableParallelism } from "node:os";

import type { GenerateRequest, SamplingOptions } from "../../src/domain/generation.ts";
import { startEngine } from "../../src/engine/load.ts";
import { demoModelPath, greedy } from "../../test/support/demo-model.ts";
import { median, printTable } from "./table.ts";

const [, , modelPath, rounds = "3", tokens = "60"] = process.argv;

const usual: SamplingOptions = { ...greedy, temperature: 0.8, ignoreEos: true, seed: 7n };
const open = { ...usual, topK: 0, topP: 1, minP: 0 };

const GRAMMAR = "root ::= [a-z ]{400}";

const cases: readonly (readonly [
  name: string,
  sampling: SamplingOptions,
  topLogprobs?: number | undefined,
  grammar?: string,
])[] = [
  ["native", usual],
  ["mirostat 1, tau 5", { ...usual, mirostat: { version: 1, tau: 5, eta: 0.1 } }],
  ["mirostat 2, tau 5", { ...usual, mirostat: { version: 2, tau: 5, eta: 0.1 } }],
  ["typical_p 0.9 after top_k 40", { ...usual, typicalP: 0.9 }],
  ["typical_p 0.9 alone", { ...open, typicalP: 0.9 }],
  ["top_n_sigma 1", { ...usual, topNSigma: 1 }],
  ["dynatemp_range 0.5", { ...usual, dynatempRange: 0.5 }],
  ["temperature before top_k", { ...usual, samplers: ["temperature", "top_k", "top_p"] }],
  ["logprobs", usual, 0],
  ["logprobs, 20", usual, 20],
  ["a grammar", usual, undefined, GRAMMAR],
  ["a grammar and mirostat 2, tau 5", { ...usual, mirostat: { version: 2, tau: 5, eta: 0.1 } }, undefined, GRAMMAR],
];

const engine = startEngine({
  modelPath: modelPath ?? demoModelPath,
  modelId: "bench",
  aliases: [],
  contextLength: 1024,
  slots: 1,
  queueLength: 1,
  threads: availableParallelism(),
});
await engine.ready;
await measure(usual);
const times: (readonly [name: string, ms: number])[] = [];
for (const [name, ...asked] of cases) times.push([name, await measure(...asked)]);
const native = times[0]![1];
printTable(
  `One answer of ${tokens} tokens; ${engine.model.vocabularySize} tokens in the vocabulary`,
  times.map(([sampler, ms]) => ({
    sampler,
    "ms/token": ms.toFixed(2),
    "more than native, ms": (ms - native).toFixed(2),
  })),
);
await engine.close();

async function measure(sampling: SamplingOptions, topLogprobs?: number, grammar?: string): Promise<number> {
  const request: GenerateRequest = {
    prompt: { kind: "chat", messages: [{ role: "user", content: "Tell me a story about a fox named Ada." }] },
    choices: 1,
    maxTokens: Number(tokens),
    stop: [],
    grammar,
    sampling,
    topLogprobs,
  };
  const runs: number[] = [];
  for (let run = 0; run < Number(rounds); run++) {
    for await (const step of (await engine.generate(request, new AbortController().signal)).steps) {
      if (step.type === "done") runs.push(step.timings.predictedMs / step.timings.predictedTokens);
    }
  }
  return median(runs);
}
