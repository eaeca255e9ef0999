import type { ChatFinishReason, ChatStep, ChatUsage } from "../domain/chat.ts";
import type { Timings, TokenChance, ToolCall } from "../domain/generation.ts";
import { toLogprobs } from "./logprobs.ts";
import type { Answer, AnswerHead } from "./response.ts";
import { pickFields } from "./response-fields.ts";
import { toTimings, toUsage } from "./usage.ts";

/** One whole answer of a chat. */
export interface ChatAnswer {
  text: string;
  thinking: string;
  readonly calls: ToolCall[];
  /** In the order of sampling, where they were asked for. */
  readonly tokens: TokenChance[];
  readonly ids: number[];
  reason: ChatFinishReason;
}

export interface CollectedChat {
  readonly answers: readonly ChatAnswer[];
  readonly usage: ChatUsage | undefined;
  readonly timings: Timings | undefined;
}

/** All steps of a chat → its answers. */
async function collectChat(choices: number, steps: AsyncIterable<ChatStep>): Promise<CollectedChat> {
  const answers = Array.from({ length: choices }, (): ChatAnswer => ({
    text: "",
    thinking: "",
    calls: [],
    tokens: [],
    ids: [],
    reason: "stop",
  }));
  let usage: ChatUsage | undefined;
  let timings: Timings | undefined;
  for await (const step of steps) {
    if (step.type === "done") ({ usage, timings } = step);
    if (!("choice" in step)) continue;
    const answer = answers[step.choice]!;
    if (step.type === "finish") answer.reason = step.reason;
    else {
      if (step.type === "call") answer.calls.push({ id: step.id, name: step.name, arguments: "" });
      else if (step.type === "arguments") {
        const call = answer.calls[step.call]!;
        answer.calls[step.call] = { ...call, arguments: call.arguments + step.text };
      } else answer[step.type] += step.text;
      answer.tokens.push(...(step.tokens ?? []));
      answer.ids.push(...(step.ids ?? []));
    }
  }
  return { answers, usage, timings };
}

/** What an answer shows of its tokens. */
export interface TokenReport {
  readonly logprobs: boolean;
  /** Probabilities are those after the samplers, and named so. */
  readonly postSampling: boolean;
  /** Whether the tokens' ids are sent. */
  readonly ids: boolean;
}

export interface ChatOrigin {
  readonly prompt: string;
  readonly generation_settings: Readonly<Record<string, unknown>>;
}

export interface ChatForm {
  readonly choices: number;
  readonly report: TokenReport;
  /** Calls are written as the old `function_call`. */
  readonly oldCalls: boolean;
  /** Members that are wanted; none is all. */
  readonly fields: readonly string[];
  /** What the answer was made from, where that was asked for: llama.cpp's `verbose`. */
  readonly origin?: ChatOrigin | undefined;
}

/** All steps → one `chat.completion`. */
export async function toChatCompletion(
  head: AnswerHead,
  { choices, report, oldCalls, fields, origin }: ChatForm,
  steps: AsyncIterable<ChatStep>,
): Promise<Answer> {
  const { answers, usage, timings } = await collectChat(choices, steps);
  const body = {
    id: head.id,
    object: "chat.completion",
    created: head.created,
    model: head.model,
    system_fingerprint: head.fingerprint,
    service_tier: "default",
    choices: answers.map((answer, index) => ({
      index,
      finish_reason: toReason(answer.reason, oldCalls),
      logprobs: report.logprobs ? toLogprobs(answer.tokens, report.postSampling) : null,
      message: toMessage(answer, oldCalls),
      ...(report.ids && { tokens: answer.ids }),
    })),
    ...(usage && { usage: toUsage(usage) }),
    ...(timings && { timings: toTimings(timings) }),
    ...(origin && { __verbose: origin }),
  };
  return { body: pickFields(body, fields), usage, timings };
}

/** As clients of the old form know it. */
export function toReason(reason: ChatFinishReason, oldCalls: boolean): string {
  return reason === "tool_calls" && oldCalls ? "function_call" : reason;
}

function toMessage({ text, thinking, calls }: ChatAnswer, oldCalls: boolean): Record<string, unknown> {
  return {
    role: "assistant",
    content: calls.length > 0 && text === "" ? null : text,
    ...(thinking !== "" && { reasoning_content: thinking }),
    refusal: null,
    annotations: [],
    ...(calls.length > 0 && toCalls(calls, oldCalls)),
  };
}

function toCalls(calls: readonly ToolCall[], oldCalls: boolean): Record<string, unknown> {
  const [first] = calls;
  if (oldCalls && first !== undefined) return { function_call: { name: first.name, arguments: first.arguments } };
  return {
    tool_calls: calls.map(({ id, name, arguments: json }) => ({
      id,
      type: "function",
      function: { name, arguments: json },
    })),
  };
}
