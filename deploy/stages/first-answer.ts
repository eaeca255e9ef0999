import { setTimeout as delay } from "node:timers/promises";

import { CodedError } from "../../src/domain/errors.ts";

export interface FirstAnswer {
  readonly text: string;
  readonly tokensPerSecond: number | undefined;
}

interface Completion {
  readonly choices?: readonly { readonly message?: { readonly content?: string | null } }[];
  readonly usage?: { readonly completion_tokens?: number };
  readonly timings?: { readonly predicted_per_second?: number };
  readonly error?: { readonly message?: string };
}

const QUESTION = "Say this is a test";
/** Enough for the demo model's whole answer; a larger model shows its first words. */
const ANSWER_TOKENS = 32;
/** A large model on a slow disk may load for minutes; the program says how long to wait. */
const LOADING_LIMIT_MS = 20 * 60_000;
const LONGEST_WAIT_S = 5;

/**
 * Asks one question through the public URL: the request starts the program.
 * Errors: `program_failed` with what the answer said; the signal's reason.
 */
export async function askFirstQuestion(baseUrl: string, model: string, signal: AbortSignal): Promise<FirstAnswer> {
  const deadline = performance.now() + LOADING_LIMIT_MS;
  for (;;) {
    const startedAt = performance.now();
    const response = await post(`${baseUrl}/chat/completions`, question(model, { max_tokens: ANSWER_TOKENS }), signal);
    const retryAfterS = Number(response.headers.get("retry-after"));
    const text = await response.text();
    if (response.status === 503 && retryAfterS > 0 && performance.now() < deadline) {
      await delay(Math.min(retryAfterS, LONGEST_WAIT_S) * 1000, undefined, { signal }).catch(() => undefined);
      signal.throwIfAborted();
      continue;
    }
    return readAnswer(model, response.status, text, performance.now() - startedAt);
  }
}

/** The same question as a line that can be pasted into a shell. */
export function curlLine(baseUrl: string, model: string): string {
  const body = JSON.stringify(question(model, {}));
  return `curl ${baseUrl}/chat/completions -H 'content-type: application/json' -d ${shellQuote(body)}`;
}

function question(model: string, limits: { readonly max_tokens?: number }) {
  return { model, messages: [{ role: "user", content: QUESTION }], temperature: 0, ...limits };
}

async function post(url: string, body: object, signal: AbortSignal): Promise<Response> {
  const headers = { "content-type": "application/json" };
  try {
    return await fetch(url, { method: "POST", headers, body: JSON.stringify(body), signal });
  } catch (error) {
    signal.throwIfAborted();
    throw new CodedError("program_failed", `no answer from ${url}: ${innermostMessage(error)}`, { cause: error });
  }
}

function readAnswer(model: string, status: number, body: string, elapsedMs: number): FirstAnswer {
  const completion = parseJson(body);
  const text = completion?.choices?.[0]?.message?.content;
  if (status !== 200 || typeof text !== "string") {
    const said = completion?.error?.message ?? body.slice(0, 200);
    throw new CodedError("program_failed", `the program of ${model} answered with status ${status}: ${said}`);
  }
  const tokens = completion?.usage?.completion_tokens;
  const measured = completion?.timings?.predicted_per_second;
  return { text, tokensPerSecond: measured ?? (tokens === undefined ? undefined : (tokens / elapsedMs) * 1000) };
}

function parseJson(text: string): Completion | undefined {
  try {
    return JSON.parse(text) as Completion;
  } catch {
    return undefined;
  }
}

/** `fetch` says "fetch failed" and keeps the reason in the cause. */
function innermostMessage(error: unknown): string {
  let inner = error as Error;
  while (inner.cause instanceof Error) inner = inner.cause;
  return inner.message;
}

function shellQuote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
