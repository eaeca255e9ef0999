import { setTimeout as delay } from "node:timers/promises";

import { CodedError } from "../../src/domain/errors.ts";
import { errorOf } from "./crn-answer.ts";

export interface FirstAnswer {
  readonly text: string;
  readonly tokensPerSecond: number | undefined;
}

interface Completion {
  readonly choices?: readonly { readonly message?: { readonly content?: string | null } }[];
  readonly usage?: { readonly completion_tokens?: number };
  readonly timings?: { readonly predicted_per_second?: number };
}

interface QuestionOptions {
  readonly signal: AbortSignal;
  /** For one answer; undefined is no limit. */
  readonly answerMs?: number;
  /** What to do when none comes: a sentence. */
  readonly advice?: string;
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
export async function askFirstQuestion(baseUrl: string, model: string, options: QuestionOptions): Promise<FirstAnswer> {
  const { signal } = options;
  const deadline = performance.now() + LOADING_LIMIT_MS;
  for (;;) {
    const startedAt = performance.now();
    const response = await post(`${baseUrl}/chat/completions`, question(model, { max_tokens: ANSWER_TOKENS }), options);
    const retryAfterS = Number(response.retryAfter);
    if (response.status === 503 && retryAfterS > 0 && performance.now() < deadline) {
      await delay(Math.min(retryAfterS, LONGEST_WAIT_S) * 1000, undefined, { signal }).catch(() => undefined);
      signal.throwIfAborted();
      continue;
    }
    return readAnswer(model, response, performance.now() - startedAt, options.advice);
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

interface Answer {
  readonly status: number;
  readonly text: string;
  /** Seconds. */
  readonly retryAfter: string | null;
}

async function post(url: string, body: object, { signal, answerMs, advice = "" }: QuestionOptions): Promise<Answer> {
  const headers = { "content-type": "application/json" };
  const limit = answerMs === undefined ? signal : AbortSignal.any([signal, AbortSignal.timeout(answerMs)]);
  try {
    const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body), signal: limit });
    return { status: response.status, text: await response.text(), retryAfter: response.headers.get("retry-after") };
  } catch (error) {
    signal.throwIfAborted();
    const why = limit.aborted ? `none came in ${(answerMs ?? 0) / 1000} s` : innermostMessage(error);
    throw new CodedError("program_failed", `no answer from ${url}: ${why}. ${advice}`.trimEnd(), { cause: error });
  }
}

function readAnswer(
  model: string,
  { status, text: body }: Answer,
  elapsedMs: number,
  advice: string = "",
): FirstAnswer {
  const completion = parseJson(body);
  const text = completion?.choices?.[0]?.message?.content;
  if (status !== 200 || typeof text !== "string") {
    const said = errorOf(body).said.replace(/[.\s]+$/, "");
    const what = `the program of ${model} answered the first question with status ${status}`;
    throw new CodedError("program_failed", `${what}${said === "" ? "" : `: ${said}`}. ${advice}`.trimEnd());
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
