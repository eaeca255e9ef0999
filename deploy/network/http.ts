/** JSON over HTTP to one node, with retries for what a second attempt can cure. */
import { setTimeout as sleep } from "node:timers/promises";

import { CodedError } from "../../src/domain/errors.ts";
import { PATIENCE } from "./patience.ts";

const ATTEMPTS = 4;
const FIRST_DELAY_MS = 300;
/** What a node or the proxy before it answers while it is overloaded or restarts. */
export const PASSING_STATUSES: ReadonlySet<number> = new Set([429, 502, 503, 504]);

export interface JsonAnswer {
  readonly status: number;
  /** Parsed; text that is no JSON stays text. */
  readonly body: unknown;
}

export interface JsonRequest {
  readonly signal?: AbortSignal | undefined;
  /** Default: that of `PATIENCE`. */
  readonly timeoutMs?: number | undefined;
  /** For what the status alone tells. */
  readonly method?: "HEAD";
  /** Sent with POST; asking twice must be harmless. */
  readonly body?: unknown;
}

/** Any status is an answer. Errors: `network_unreachable`, `interrupted`. */
export async function askNode(url: string, request: JsonRequest = {}): Promise<JsonAnswer> {
  const { timeoutMs = PATIENCE.answerMs } = request;
  return withRetries(url, request.signal, async () => {
    const timeout = AbortSignal.timeout(timeoutMs);
    const response = await fetch(url, {
      signal: request.signal === undefined ? timeout : AbortSignal.any([request.signal, timeout]),
      ...(request.method !== undefined && { method: request.method }),
      headers: {
        accept: "application/json",
        ...(request.body !== undefined && { "content-type": "application/json" }),
      },
      ...(request.body !== undefined && { method: "POST", body: JSON.stringify(request.body) }),
    });
    return { status: response.status, body: parseBody(await response.text()) };
  });
}

/** Repeats with growing pauses; the last failure or answer counts. `url` is for the error. Errors: `network_unreachable`, `interrupted`. */
export async function withRetries<Answer extends { readonly status: number }>(
  url: string,
  signal: AbortSignal | undefined,
  attempt: () => Promise<Answer>,
): Promise<Answer> {
  for (let number = 1; ; number++) {
    try {
      const answer = await attempt();
      if (number === ATTEMPTS || !PASSING_STATUSES.has(answer.status)) return answer;
    } catch (error) {
      if (signal?.aborted === true) throw interrupted();
      if (error instanceof CodedError) throw error;
      if (number === ATTEMPTS) throw unreachable(url, error);
    }
    await pause(FIRST_DELAY_MS * 3 ** (number - 1), signal);
  }
}

/** Errors: `interrupted`. */
export async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(milliseconds, undefined, signal === undefined ? {} : { signal });
  } catch {
    throw interrupted();
  }
}

export function interrupted(): CodedError {
  return new CodedError("interrupted", "interrupted: run the same command again, what is done is not repeated");
}

/** A node that gave no answer, and what was seen instead. */
export function unreachable(url: string, error: unknown): CodedError {
  const advice = "check --api-server and the connection, then run the same command again";
  const message = `the node at ${new URL(url).origin} does not answer (${reasonOf(error)}): ${advice}`;
  return new CodedError("network_unreachable", message, { cause: error });
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError") return "it took too long";
  const cause = error.cause instanceof Error ? error.cause : error;
  const { code } = cause as NodeJS.ErrnoException;
  return code === "UND_ERR_SOCKET" || code === "ECONNRESET" ? "it closed the connection" : (code ?? cause.message);
}

export function parseBody(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text === "" ? undefined : text;
  }
}
