/** An answer as a background response whose events are asked for: for hosts that hold back answers until their end. */
import { ask, askJson, RequestError } from "../api.ts";
import type { Piece, Question } from "./answer.ts";
import { toInputItems, type AnswerStats } from "./conversation.ts";

/** Short enough that words appear as they are made, where the host holds each answer until it is whole. */
const WAIT_S = 1;
/** So many failures in a row are the end; a host may restart or lose single requests. */
const PATIENCE = 5;

interface ResponseEvent {
  readonly type: string;
  readonly sequence_number: number;
  readonly delta?: string;
  readonly item?: { readonly type: string; readonly call_id?: string; readonly name?: string };
  readonly response?: ResponseObject;
  readonly message?: string;
}

interface ResponseObject {
  readonly id: string;
  readonly usage?: { readonly input_tokens: number; readonly output_tokens: number } | null;
  readonly error?: { readonly message: string } | null;
}

interface EventList {
  readonly data: readonly ResponseEvent[];
  readonly last_sequence_number: number;
  readonly done: boolean;
}

/** Errors: a `RequestError`; the signal's reason, and then the server stops too. */
export async function* pollAnswer(question: Question, signal: AbortSignal): AsyncGenerator<Piece> {
  const { id } = await askJson<ResponseObject>("v1/responses", { body: toResponseBody(question), signal });
  const path = `v1/responses/${encodeURIComponent(id)}`;
  const startedAt = performance.now();
  let firstAt: number | undefined;
  let last = -1;
  let failures = 0;
  try {
    for (;;) {
      let list: EventList;
      try {
        list = await askJson<EventList>(`${path}/events?starting_after=${last}&wait=${WAIT_S}`, { signal });
        failures = 0;
      } catch (error) {
        failures += 1;
        if (!(error instanceof RequestError) || !error.isPassing || failures >= PATIENCE) throw error;
        await pause(300 * failures, signal);
        continue;
      }
      for (const event of list.data) {
        last = event.sequence_number;
        if (event.delta !== undefined) firstAt ??= performance.now();
        yield* piecesOf(event, firstAt ?? startedAt);
      }
      if (list.done) return;
    }
  } catch (error) {
    if (signal.aborted) await ask(`${path}/cancel`, { method: "POST" }).catch(() => undefined);
    throw error;
  }
}

function toResponseBody({ turns, systemPrompt, sampling, tools }: Question): Record<string, unknown> {
  const { max_tokens: limit, ...rest } = sampling;
  return {
    input: toInputItems(turns),
    ...(systemPrompt.trim() === "" ? {} : { instructions: systemPrompt }),
    ...rest,
    ...(limit === undefined ? {} : { max_output_tokens: limit }),
    ...(tools === undefined ? {} : { tools: tools.map(flattened) }),
    background: true,
  };
}

/** Functions of chat completions have a level more. */
function flattened(tool: unknown): unknown {
  const { function: named, ...rest } = tool as { function?: object };
  return named === undefined ? tool : { ...rest, ...named };
}

function* piecesOf(event: ResponseEvent, firstAt: number): Generator<Piece> {
  switch (event.type) {
    case "response.output_text.delta":
      yield { type: "text", text: event.delta ?? "" };
      return;
    case "response.reasoning_text.delta":
      yield { type: "thinking", text: event.delta ?? "" };
      return;
    case "response.output_item.added":
      if (event.item?.type !== "function_call") return;
      yield { type: "call", id: event.item.call_id ?? "", name: event.item.name ?? "" };
      return;
    case "response.function_call_arguments.delta":
      yield { type: "arguments", text: event.delta ?? "" };
      return;
    case "response.completed":
    case "response.incomplete":
      yield { type: "end", cut: event.type === "response.incomplete", stats: statsOf(event.response, firstAt) };
      return;
    case "response.failed":
    case "error":
      throw new RequestError(event.response?.error?.message ?? event.message ?? "The server failed to answer.");
    default:
  }
}

/** The speed is as it was seen from here. */
function statsOf(response: ResponseObject | undefined, firstAt: number): AnswerStats | undefined {
  const { usage } = response ?? {};
  if (!usage) return undefined;
  const seconds = (performance.now() - firstAt) / 1000;
  return {
    promptTokens: usage.input_tokens,
    completionTokens: usage.output_tokens,
    tokensPerSecond: seconds < 0.5 ? undefined : usage.output_tokens / seconds,
  };
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        reject(signal.reason);
      },
      { once: true },
    );
  });
}
