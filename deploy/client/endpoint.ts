/** A deployed program as its user sees it: answers in pieces, whether its host streams them or holds them back. */
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI, { APIConnectionError, APIError } from "openai";

import { CodedError } from "../../src/domain/errors.ts";

export interface Message {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

export interface AnswerPiece {
  readonly kind: "text" | "thinking";
  readonly text: string;
}

export interface AnswerOptions {
  readonly maxTokens?: number | undefined;
  readonly temperature?: number | undefined;
  readonly signal: AbortSignal;
  /** A program that starts is waited for; called once for each wait. */
  readonly onWait?: ((reason: string) => void) | undefined;
}

/** Returned at the end of an answer. */
export interface AnswerEnd {
  readonly completionTokens: number | undefined;
  /** The last pieces of an answer that was cut by its limit. */
  readonly isCut: boolean;
}

export interface Endpoint {
  /** Ends in `/v1`. */
  readonly baseUrl: string;
  readonly model: string;
  /** The host sends nothing before an answer is whole, as the network's compute nodes do. */
  readonly isBuffered: boolean;
  /** Streams where the host streams; where it does not, the answer is made in the background and read as it grows. */
  answer(messages: readonly Message[], options: AnswerOptions): AsyncGenerator<AnswerPiece, AnswerEnd>;
}

/** How long a program may take to start: a model of some gigabytes comes through one gateway. */
const LONGEST_START_MS = 20 * 60_000;
const LONGEST_PAUSE_MS = 10_000;
const POLL_WAIT_S = 20;

/** Errors: `usage` for what is no address, `program_failed`. */
export async function openEndpoint(url: string, apiKey: string | undefined): Promise<Endpoint> {
  const baseUrl = toBaseUrl(url);
  const client = new OpenAI({ baseURL: baseUrl, apiKey: apiKey ?? "any", maxRetries: 0 });
  const signal = AbortSignal.timeout(LONGEST_START_MS);
  const { data, response } = await patient({ signal }, () => client.models.list().withResponse());
  const model = data.data[0]?.id;
  if (model === undefined) throw new CodedError("program_failed", `${baseUrl} serves no model`);
  const isBuffered = /^aleph-vm\b/i.test(response.headers.get("server") ?? "");
  return {
    baseUrl,
    model,
    isBuffered,
    answer: (messages, options) =>
      isBuffered ? poll(client, model, messages, options) : stream(client, model, messages, options),
  };
}

/** Takes the page's address and the base URL alike. Errors: `usage`. */
export function toBaseUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new CodedError("usage", `"${text.slice(0, 200)}" is no address. Write https://<gateway>/vm/<item hash>/`);
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, "").replace(/\/v1$/, "")}/v1`;
}

async function* stream(
  client: OpenAI,
  model: string,
  messages: readonly Message[],
  options: AnswerOptions,
): AsyncGenerator<AnswerPiece, AnswerEnd> {
  const chunks = await patient(options, () =>
    client.chat.completions.create(
      {
        model,
        messages: [...messages],
        stream: true,
        stream_options: { include_usage: true },
        ...(options.maxTokens !== undefined && { max_tokens: options.maxTokens }),
        ...(options.temperature !== undefined && { temperature: options.temperature }),
      },
      { signal: options.signal },
    ),
  );
  let completionTokens: number | undefined;
  let isCut = false;
  for await (const { choices, usage } of chunks) {
    const delta: { content?: string | null; reasoning_content?: string | null } | undefined = choices[0]?.delta;
    if (delta?.reasoning_content) yield { kind: "thinking", text: delta.reasoning_content };
    if (delta?.content) yield { kind: "text", text: delta.content };
    if (choices[0]?.finish_reason === "length") isCut = true;
    completionTokens = usage?.completion_tokens ?? completionTokens;
  }
  options.signal.throwIfAborted();
  return { completionTokens, isCut };
}

interface PolledEvent {
  readonly type: string;
  readonly delta?: string;
  readonly message?: string;
  readonly response?: { readonly usage?: { readonly output_tokens: number } | null };
}
interface EventPage {
  readonly data: readonly PolledEvent[];
  readonly last_sequence_number: number;
  readonly done: boolean;
}

async function* poll(
  client: OpenAI,
  model: string,
  messages: readonly Message[],
  options: AnswerOptions,
): AsyncGenerator<AnswerPiece, AnswerEnd> {
  const { id } = await patient(options, () =>
    client.responses.create(
      {
        model,
        input: messages.map(({ role, content }) => ({ role, content })),
        background: true,
        ...(options.maxTokens !== undefined && { max_output_tokens: options.maxTokens }),
        ...(options.temperature !== undefined && { temperature: options.temperature }),
      },
      { signal: options.signal },
    ),
  );
  let completionTokens: number | undefined;
  let isCut = false;
  try {
    let after = -1;
    for (;;) {
      const path = `/responses/${id}/events?starting_after=${after}&wait=${POLL_WAIT_S}`;
      const page = await patient(options, () => client.get<EventPage>(path, { signal: options.signal }));
      for (const { type, delta, message, response } of page.data) {
        if (type === "response.output_text.delta") yield { kind: "text", text: delta ?? "" };
        else if (type === "response.reasoning_text.delta") yield { kind: "thinking", text: delta ?? "" };
        else if (type === "response.incomplete") isCut = true;
        else if (type === "error") throw new CodedError("program_failed", message ?? "the answer failed");
        completionTokens = response?.usage?.output_tokens ?? completionTokens;
      }
      after = page.last_sequence_number;
      if (page.done) return { completionTokens, isCut };
    }
  } finally {
    // Whoever leaves early leaves no computation behind.
    if (completionTokens === undefined) await client.responses.cancel(id).catch(() => undefined);
  }
}

/** Asks again while the program starts or is busy. Errors: `program_failed` with what was said, the signal's reason. */
async function patient<Result>(
  { signal, onWait }: Pick<AnswerOptions, "signal" | "onWait">,
  ask: () => Promise<Result>,
): Promise<Result> {
  const deadline = performance.now() + LONGEST_START_MS;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      signal.throwIfAborted();
      const waitMs = error instanceof APIError ? waitOf(error) : undefined;
      if (waitMs === undefined || performance.now() > deadline) throw failed(error);
      onWait?.((error as APIError).message);
      await sleep(waitMs, undefined, { signal });
    }
  }
}

/** Undefined for what waiting does not mend. The gateway's own answers (502, 504) have no Retry-After. */
function waitOf({ status, headers }: APIError): number | undefined {
  if (status === undefined || ![429, 502, 503, 504].includes(status)) return undefined;
  const seconds = Number(headers?.get("retry-after") ?? 5);
  return Math.min(Number.isFinite(seconds) ? seconds * 1000 : LONGEST_PAUSE_MS, LONGEST_PAUSE_MS);
}

function failed(error: unknown): CodedError {
  if (error instanceof CodedError) return error;
  const reason = error instanceof APIConnectionError ? "it cannot be reached" : (error as Error).message;
  return new CodedError("program_failed", `the program does not answer: ${reason}`, { cause: error });
}
