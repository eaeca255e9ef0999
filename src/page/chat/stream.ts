/** An answer as a stream of chat completion chunks: for hosts that pass on what comes when it comes. */
import { EventSourceParserStream } from "eventsource-parser/stream";

import { ask, readError, RequestError } from "../api.ts";
import type { Piece, Question } from "./answer.ts";
import { toMessages } from "./conversation.ts";

interface Chunk {
  readonly error?: unknown;
  readonly choices?: readonly {
    readonly delta?: {
      readonly content?: string | null;
      readonly reasoning_content?: string | null;
      readonly tool_calls?: readonly {
        readonly id?: string;
        readonly function?: { readonly name?: string; readonly arguments?: string };
      }[];
    };
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: { readonly prompt_tokens: number; readonly completion_tokens: number } | null;
  readonly timings?: { readonly predicted_per_second?: number; readonly predicted_ms?: number };
}

export function toChatBody({ turns, systemPrompt, sampling, tools }: Question): Record<string, unknown> {
  return {
    messages: toMessages(turns, systemPrompt),
    ...sampling,
    ...(tools === undefined ? {} : { tools }),
  };
}

/** Errors: a `RequestError`, also when the stream breaks off; the signal's reason. */
export async function* streamAnswer(question: Question, signal: AbortSignal): AsyncGenerator<Piece> {
  const body = { ...toChatBody(question), stream: true, stream_options: { include_usage: true } };
  const response = await ask("v1/chat/completions", { body, signal });
  if (response.body === null) throw new RequestError("The server sent no answer.");
  const events = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
  let cut = false;
  let stats: Extract<Piece, { type: "end" }>["stats"];
  let isComplete = false;
  for await (const { data } of read(events)) {
    if (data === "[DONE]") {
      isComplete = true;
      break;
    }
    const chunk = JSON.parse(data) as Chunk;
    if (chunk.error !== undefined) throw readError(data, 200);
    const [choice] = chunk.choices ?? [];
    yield* piecesOf(choice?.delta ?? {});
    if (choice?.finish_reason === "length") cut = true;
    if (chunk.usage) {
      stats = {
        promptTokens: chunk.usage.prompt_tokens,
        completionTokens: chunk.usage.completion_tokens,
        tokensPerSecond: chunk.timings?.predicted_per_second,
      };
    }
  }
  if (!isComplete) throw new RequestError("The answer broke off: the connection was closed before its end.");
  yield { type: "end", cut, stats };
}

type Delta = NonNullable<NonNullable<Chunk["choices"]>[number]["delta"]>;

function* piecesOf({ content, reasoning_content: thinking, tool_calls: calls }: Delta): Generator<Piece> {
  if (thinking) yield { type: "thinking", text: thinking };
  if (content) yield { type: "text", text: content };
  for (const call of calls ?? []) {
    if (call.id !== undefined) yield { type: "call", id: call.id, name: call.function?.name ?? "" };
    if (call.function?.arguments) yield { type: "arguments", text: call.function.arguments };
  }
}

/** Not every browser can iterate over a stream. */
async function* read<Item>(stream: ReadableStream<Item>): AsyncGenerator<Item> {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
