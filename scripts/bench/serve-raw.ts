/** The peer of bench/serve.ts: node-llama-cpp's public API, used as its documentation shows, with the same settings. */
import { availableParallelism } from "node:os";

import { getLlama } from "node-llama-cpp";

import type { Sample } from "./serve.ts";

const llama = await getLlama({ gpu: false, build: "never", skipDownload: true, logger: () => {}, progressLogs: false });
const model = await llama.loadModel({ modelPath: process.argv[2]! });
const context = await model.createContext({ contextSize: 2048, threads: availableParallelism() });
const sequence = context.getSequence();

process.on("message", ({ prompt, tokens }: { prompt: string; tokens: number }) => void answer(prompt, tokens));

async function answer(prompt: string, tokens: number): Promise<void> {
  await sequence.clearHistory();
  const startedAt = performance.now();
  const input = model.tokenize(`<|im_start|>user\n${prompt}<|im_end|>\n<|im_start|>assistant\n`, true);
  let firstAt = 0;
  let count = 0;
  for await (const token of sequence.evaluate(input, {
    temperature: 0.8,
    topK: 40,
    topP: 0.95,
    minP: 0.05,
    seed: Math.floor(Math.random() * 2 ** 31),
  })) {
    if (firstAt === 0) firstAt = performance.now();
    model.detokenize([token]);
    if (++count === tokens) break;
  }
  const sample: Sample = { firstMs: firstAt - startedAt, rate: (count - 1) / ((performance.now() - firstAt) / 1000) };
  process.send?.(sample);
}
