/** Lines about what a server still knows of a prompt: with 4 slots, and right after its start. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { fresh, tokensOf } from "./lines.ts";
import type { BenchedServer, Seen } from "./servers.ts";

const NATIVE = "/completion";
const PREFIX_TOKENS = 1500;
/** What a server must have found, else its time says nothing about prefixes. */
const LEAST_CACHED = 1400;
const OTHERS = 12;
const OTHER_TOKENS = 100;
/** About 1,500 tokens of the benchmark's models. */
const SYSTEM_PROMPT = Array.from(
  { length: 52 },
  (_, index) => `Rule ${index}: answer in short words, name the river, and never tell where the fox lives.`,
).join("\n");

export interface PrefixLine {
  readonly name: string;
  readonly goal: string;
  /** Milliseconds. `mustHit`: a prefix that is not found is a fault, not a time. */
  measure(start: () => Promise<BenchedServer>, round: number, mustHit: boolean): Promise<number>;
}

/** A directory with the model and its evaluated system prompt, as a model volume has them. */
export function preparePinned(model: string, threads: number): { readonly model: string; remove(): void } {
  const directory = mkdtempSync(join(tmpdir(), "pinference-bench-"));
  const remove = () => rmSync(directory, { recursive: true, force: true });
  const path = join(directory, "model.gguf");
  symlinkSync(resolve(model), path);
  console.error("  evaluating the system prompt");
  // Not portable, which only costs time here: a state is as large whatever computed it.
  const request = { modelPath: path, modelSha256: "", systemPrompt: SYSTEM_PROMPT, threads, directory };
  const program = fileURLToPath(new URL("../../../src/pin-prefix.js", import.meta.url));
  const { status, stderr } = spawnSync(process.execPath, [program], {
    input: JSON.stringify({ ...request, isPortable: false }),
    env: { ...process.env, UV_THREADPOOL_SIZE: "1" },
    encoding: "utf8",
  });
  if (status === 0) return { model: path, remove };
  remove();
  throw new Error(`the system prompt could not be evaluated: ${stderr}`);
}

export const PREFIX_LINES: readonly PrefixLine[] = [
  {
    name: `first token, prefix of ${PREFIX_TOKENS}, after ${OTHERS} other conversations through 4 slots`,
    goal: "≤ 1.0",
    measure: (start, round, mustHit) =>
      using(start, async (server) => {
        const tokens = tokensOf(PREFIX_TOKENS, fresh(round));
        const ask = (prompt: readonly number[]) =>
          server.post(NATIVE, { prompt, n_predict: 1, temperature: 0, ignore_eos: true, cache_prompt: true });
        await ask(tokens);
        for (let other = 0; other < OTHERS; other++) await ask(tokensOf(OTHER_TOKENS, fresh(other)));
        return timeOf(await ask([...tokens, ...tokensOf(20, round + 1)]), mustHit);
      }),
  },
  {
    name: `first token, system prompt of ${PREFIX_TOKENS}, first request after a start`,
    goal: "≤ 0.2",
    measure: (start, round, mustHit) =>
      using(start, async (server) => {
        const messages = [
          { role: "system", content: SYSTEM_PROMPT },
          { role: "user", content: `Who are you, ${round}?` },
        ];
        const body = { messages, max_tokens: 1, temperature: 0, timings_per_token: true };
        return timeOf(await server.post("/v1/chat/completions", body), mustHit);
      }),
  },
];

function timeOf({ totalMs, raw }: Seen, mustHit: boolean): number {
  const cached = Number(/"cache_n":(\d+)/.exec(raw)?.[1] ?? /"cached_tokens":(\d+)/.exec(raw)?.[1]);
  console.error(`    ${totalMs.toFixed(0)} ms, ${cached} tokens found`);
  if (mustHit && !(cached >= LEAST_CACHED)) throw new Error(`only ${cached} tokens were found: ${raw.slice(0, 300)}`);
  return totalMs;
}

async function using(start: () => Promise<BenchedServer>, use: (server: BenchedServer) => Promise<number>) {
  const server = await start();
  try {
    return await use(server);
  } finally {
    await server.stop();
  }
}
