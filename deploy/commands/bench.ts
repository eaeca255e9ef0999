import { CodedError } from "../../src/domain/errors.ts";
import type { Endpoint } from "../client/endpoint.ts";
import { ENDPOINT_OPTIONS, openOnly } from "./chat.ts";
import { command } from "./command.ts";
import type { BenchEvent } from "./events.ts";

const QUESTION = "Tell me a long story about a fox and a crow, with everything that they say to each other.";
const MOST_CLIENTS = 64;

export const bench = command({
  name: "bench",
  summary: "Measure a deployed model as its users see it: time to first token, tokens a second",
  positionals: { name: "URL", help: "of the program: https://<gateway>/vm/<item hash>/" },
  options: {
    ...ENDPOINT_OPTIONS,
    clients: { type: "string", value: "LIST", help: "how many ask at once, in turns", default: "1,2,4" },
    tokens: { type: "integer", value: "N", help: "tokens of each answer", min: 2, max: 4096, default: 64 },
    rounds: { type: "integer", value: "N", help: "answers to each client", min: 1, max: 100, default: 3 },
  },
  examples: ["pinference bench http://127.0.0.1:4020/vm/<item hash>/", "pinference bench <URL> --clients 1,8 --json"],
  async run(options, urls, context) {
    const levels = options.clients.split(",").map((text) => toClients(text.trim()));
    const endpoint = await openOnly(urls, options["api-key"], context);
    const { signal, out } = context;
    if (endpoint.isBuffered) {
      out.emit({ event: "note", message: "this host holds answers back: they are read by polling, as they grow" });
    }
    // The first request may start the program, and reads the question's tokens.
    await ask(endpoint, 2, signal);
    for (const clients of levels) {
      out.emit(await measure(endpoint, clients, { tokens: options.tokens, rounds: options.rounds, signal }));
    }
  },
});

function toClients(text: string): number {
  const clients = Number(text);
  if (/^\d{1,3}$/.test(text) && clients >= 1 && clients <= MOST_CLIENTS) return clients;
  throw new CodedError("usage", `--clients is a list of whole numbers from 1 to ${MOST_CLIENTS}, got "${text}"`);
}

interface Seen {
  readonly firstMs: number;
  readonly totalMs: number;
  readonly tokens: number;
  readonly pieces: number;
}

async function measure(
  endpoint: Endpoint,
  clients: number,
  { tokens, rounds, signal }: { tokens: number; rounds: number; signal: AbortSignal },
): Promise<BenchEvent> {
  const seen: Seen[] = [];
  let failure: unknown;
  let failed = 0;
  const startedAt = performance.now();
  const client = async () => {
    for (let round = 0; round < rounds; round++) {
      try {
        seen.push(await ask(endpoint, tokens, signal));
      } catch (error) {
        signal.throwIfAborted();
        failure = error;
        failed += 1;
      }
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  const elapsedMs = performance.now() - startedAt;
  if (seen.length === 0) throw failure;
  const rates = seen.flatMap(({ firstMs, totalMs, tokens: count, pieces }) =>
    pieces > 1 && count > 1 ? [((count - 1) * 1000) / Math.max(totalMs - firstMs, 0.01)] : [],
  );
  return {
    event: "bench",
    clients,
    requests: clients * rounds,
    failed,
    firstTokenMs: median(seen.map(({ firstMs }) => firstMs)),
    tokensPerSecond: rates.length === 0 ? undefined : median(rates),
    totalTokensPerSecond: (seen.reduce((sum, { tokens: count }) => sum + count, 0) * 1000) / elapsedMs,
  };
}

async function ask(endpoint: Endpoint, tokens: number, signal: AbortSignal): Promise<Seen> {
  const startedAt = performance.now();
  let firstMs: number | undefined;
  let pieces = 0;
  const answer = endpoint.answer([{ role: "user", content: QUESTION }], { maxTokens: tokens, temperature: 0, signal });
  for (;;) {
    const { done, value } = await answer.next();
    firstMs ??= performance.now() - startedAt;
    if (done !== true) {
      pieces += 1;
      continue;
    }
    return { firstMs, totalMs: performance.now() - startedAt, tokens: value.completionTokens ?? pieces, pieces };
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
