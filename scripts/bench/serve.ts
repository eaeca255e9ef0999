/**
 * How much of node-llama-cpp's speed arrives at an HTTP client: time to first token and decode speed of the server,
 * against the library's own `evaluate` loop in the same run, both resident, in turns, medians.
 *
 *   npm run bench:serve [-- MODEL.gguf] [--tokens 128] [--rounds 5] [--streams 4]
 */
import { fork, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { request, type IncomingMessage } from "node:http";
import { availableParallelism, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { demoModelPath } from "../../test/support/demo-model.ts";
import { median, printTable } from "./table.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    tokens: { type: "string", default: "128" },
    rounds: { type: "string", default: "5" },
    streams: { type: "string", default: "4" },
  },
});
const [tokens, rounds, streams] = [Number(values.tokens), Number(values.rounds), Number(values.streams)];
const model = positionals[0] ?? demoModelPath;

/** Of one answer: milliseconds to its first token, and tokens a second after it. */
export interface Sample {
  readonly firstMs: number;
  readonly rate: number;
}

const folder = mkdtempSync(join(tmpdir(), "pinference-bench-"));
const socketPath = join(folder, "server.sock");
const server = spawn(process.execPath, [fileURLToPath(new URL("../../src/main.js", import.meta.url))], {
  env: {
    ...process.env,
    UV_THREADPOOL_SIZE: "1",
    PINFERENCE_SOCKET: socketPath,
    PINFERENCE_MODEL: model,
    PINFERENCE_MODEL_ID: "bench",
    PINFERENCE_SLOTS: String(streams),
    PINFERENCE_CONTEXT_LENGTH: "2048",
    PINFERENCE_THREADS: String(availableParallelism()),
    PINFERENCE_LOAD_WAIT_MS: "120000",
  },
  stdio: ["ignore", "ignore", "inherit"],
});
const raw = (poolSize: string) =>
  fork(fileURLToPath(new URL("./serve-raw.js", import.meta.url)), [model], {
    env: { ...process.env, UV_THREADPOOL_SIZE: poolSize },
  });
const tuned = raw("1");
const plain = raw("4");

/** Every prompt begins differently, so that no state can be reused. */
function promptOf(round: number): string {
  return `${round} ${"The cat sat on the mat and saw a bird. ".repeat(10)} Tell me a long story.`;
}

async function askServer(prompt: string): Promise<Sample> {
  const startedAt = performance.now();
  const body = JSON.stringify({
    messages: [{ role: "user", content: prompt }],
    max_tokens: tokens,
    temperature: 0.8,
    top_k: 40,
    stream: true,
    stream_options: { include_usage: true },
  });
  const asking = request({
    socketPath,
    method: "POST",
    path: "/v1/chat/completions",
    headers: { "content-type": "application/json" },
  });
  asking.end(body);
  const [response] = (await once(asking, "response")) as [IncomingMessage];
  response.setEncoding("utf8");
  let firstAt = 0;
  let text = "";
  for await (const chunk of response as AsyncIterable<string>) {
    text += chunk;
    if (firstAt === 0 && /"content":"[^"]/.test(chunk)) firstAt = performance.now();
  }
  const counted = Number(/"completion_tokens":(\d+)/.exec(text)?.[1]);
  return { firstMs: firstAt - startedAt, rate: (counted - 1) / ((performance.now() - firstAt) / 1000) };
}

async function askRaw(child: ChildProcess, prompt: string): Promise<Sample> {
  child.send({ prompt, tokens });
  const [sample] = (await once(child, "message")) as [Sample];
  return sample;
}

async function serverIsUp(): Promise<void> {
  for (;;) {
    try {
      await askServer("warm-up");
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

try {
  await Promise.all([serverIsUp(), askRaw(tuned, "warm-up"), askRaw(plain, "warm-up")]);
  const samples = { server: [] as Sample[], tuned: [] as Sample[], plain: [] as Sample[] };
  const together: number[] = [];
  for (let round = 0; round < rounds; round++) {
    samples.server.push(await askServer(promptOf(round)));
    samples.tuned.push(await askRaw(tuned, promptOf(round)));
    samples.plain.push(await askRaw(plain, promptOf(round)));
    const startedAt = performance.now();
    await Promise.all(
      Array.from({ length: streams }, (_, stream) => askServer(promptOf(1000 + round * streams + stream))),
    );
    together.push((streams * tokens) / ((performance.now() - startedAt) / 1000));
  }
  const first = (of: readonly Sample[]) => median(of.map((sample) => sample.firstMs));
  const rate = (of: readonly Sample[]) => median(of.map((sample) => sample.rate));
  const row = (name: string, of: readonly Sample[]) => ({
    what: name,
    "first token, ms": first(of).toFixed(1),
    "ratio (less is better)": (first(of) / first(samples.tuned)).toFixed(2),
    "decode, tokens/s": rate(of).toFixed(1),
    "ratio (more is better)": (rate(of) / rate(samples.tuned)).toFixed(2),
  });
  printTable(`${basename(model)}, ${tokens} tokens, ${rounds} rounds, medians`, [
    row("server, HTTP stream", samples.server),
    row("evaluate, 1 libuv thread", samples.tuned),
    row("evaluate, as installed", samples.plain),
  ]);
  console.log(`\n${streams} streams together, prompts included: ${median(together).toFixed(1)} tokens/s`);
} finally {
  server.kill();
  tuned.kill();
  plain.kill();
  rmSync(folder, { recursive: true, force: true });
}
