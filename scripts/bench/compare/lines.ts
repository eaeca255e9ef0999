/** One question each. A line gives a number for a server; more is better unless it says otherwise. */
import { setTimeout as sleep } from "node:timers/promises";

import type { BenchedServer } from "./servers.ts";

export interface Line {
  readonly name: string;
  readonly goal: string;
  readonly unit: string;
  readonly lessIsBetter?: true;
  /** `round` makes prompts that no state serves. */
  measure(server: BenchedServer, round: number): Promise<number>;
}

const NATIVE = "/completion";
const CHAT = "/v1/chat/completions";
/** Ids of ordinary tokens in every vocabulary of the benchmark's models. */
const LOW = 300;
const SPAN = 1500;

/** Token ids that look random, the same for both servers. */
export function tokensOf(count: number, seed: number): number[] {
  let state = (seed * 2_654_435_761 + 1) >>> 0;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return LOW + ((state >>> 8) % SPAN);
  });
}

export const greedy = { temperature: 0, ignore_eos: true, cache_prompt: true };
const sampled = { temperature: 0.8, top_k: 40, ignore_eos: true, seed: 1 };
let prompts = 0;
/** A number that no earlier prompt had. */
export const fresh = (round: number) => (prompts += 1) * 1000 + round;

async function prompt(server: BenchedServer, tokens: readonly number[], more: object = {}): Promise<number> {
  return (await server.post(NATIVE, { prompt: tokens, n_predict: 1, ...greedy, ...more })).totalMs;
}

/** Tokens a second of a stream after its first. */
export async function decode(server: BenchedServer, tokens: number, more: object): Promise<number> {
  const { firstMs, totalMs } = await server.post(NATIVE, {
    prompt: tokensOf(32, fresh(0)),
    n_predict: tokens,
    stream: true,
    ...more,
  });
  return ((tokens - 1) * 1000) / (totalMs - firstMs);
}

async function together(server: BenchedServer, streams: number, tokens: number): Promise<number> {
  const startedAt = performance.now();
  await Promise.all(
    Array.from({ length: streams }, () =>
      server.post(NATIVE, { prompt: tokensOf(16, fresh(0)), n_predict: tokens, stream: true, ...sampled }),
    ),
  );
  return (streams * tokens * 1000) / (performance.now() - startedAt);
}

const record = {
  type: "object",
  properties: Object.fromEntries(
    ["identification_number", "date_of_registration", "responsible_department", "current_processing_status"].map(
      (name) => [name, { enum: ["to be determined by the administration", "to be confirmed by the department"] }],
    ),
  ),
  required: ["identification_number", "date_of_registration", "responsible_department", "current_processing_status"],
  additionalProperties: false,
};

export const LINES: readonly Line[] = [
  ...[512, 2048].map((count): Line => ({
    name: `prompt, ${count} tokens`,
    goal: "≥ 1.00",
    unit: "tokens/s",
    measure: async (server, round) => (count * 1000) / (await prompt(server, tokensOf(count, fresh(round)))),
  })),
  { name: "decode, one stream", goal: "≥ 0.95", unit: "tokens/s", measure: (server) => decode(server, 64, sampled) },
  ...[4, 8, 16].map((streams): Line => ({
    name: `decode, ${streams} streams together`,
    goal: "≥ 0.95",
    unit: "tokens/s",
    measure: (server) => together(server, streams, 32),
  })),
  {
    name: "JSON of a schema, mostly forced",
    goal: "≥ 1.8",
    unit: "answers/s",
    measure: async (server, round) => {
      const { totalMs } = await server.post(CHAT, {
        messages: [{ role: "user", content: `Record ${fresh(round)}` }],
        response_format: { type: "json_schema", json_schema: { name: "record", schema: record, strict: true } },
        max_tokens: 400,
        ...sampled,
        ignore_eos: false,
      });
      return 1000 / totalMs;
    },
  },
  {
    name: "mirostat 2",
    goal: "≥ 1.2",
    unit: "tokens/s",
    measure: (server) => decode(server, 48, { ...sampled, mirostat: 2 }),
  },
  {
    name: "20 log probabilities",
    goal: "≥ 0.95",
    unit: "tokens/s",
    measure: (server) => decode(server, 48, { ...sampled, n_probs: 20 }),
  },
  {
    name: "first token, cached prefix of 1,500",
    goal: "≤ 1.0",
    unit: "ms",
    lessIsBetter: true,
    measure: async (server, round) => {
      const tokens = tokensOf(1500, fresh(round));
      await prompt(server, tokens);
      return prompt(server, [...tokens, ...tokensOf(20, round + 1)]);
    },
  },
  {
    name: "first token of a short request beside a prompt of 4,000",
    goal: "≤ 0.5",
    unit: "ms",
    lessIsBetter: true,
    measure: async (server, round) => {
      const long = prompt(server, tokensOf(4000, fresh(round)));
      await sleep(500);
      const short = await prompt(server, tokensOf(16, fresh(round)));
      await long;
      return short;
    },
  },
  {
    name: "a client that leaves in its prompt: until nothing is computed",
    goal: "≤ 1 s",
    unit: "ms",
    lessIsBetter: true,
    measure: (server, round) => leave(server, { prompt: tokensOf(4000, fresh(round)), n_predict: 8, stream: true }),
  },
  {
    name: "a client that leaves in its answer",
    goal: "≤ 1 s",
    unit: "ms",
    lessIsBetter: true,
    measure: (server, round) => leave(server, { prompt: tokensOf(16, fresh(round)), n_predict: 2000, stream: true }),
  },
];

async function leave(server: BenchedServer, body: object): Promise<number> {
  const controller = new AbortController();
  const asking = server.post(NATIVE, { ...body, ...greedy }, controller.signal).catch(() => undefined);
  await sleep(700);
  controller.abort();
  const leftAt = performance.now();
  await asking;
  while ((await server.busySlots()) > 0) await sleep(5);
  return performance.now() - leftAt;
}
