import type { ChatFinishReason, ChatStep } from "../domain/chat.ts";
import type { Progress, Timings, TokenChance } from "../domain/generation.ts";
import { toReason, type TokenReport } from "./chat-response.ts";
import { toLogprobs } from "./logprobs.ts";
import { toProgress } from "./progress.ts";
import type { AnswerHead } from "./response.ts";
import { toTimings, toUsage } from "./usage.ts";

export interface ChatChunkOptions {
  readonly choices: number;
  readonly includeUsage: boolean;
  readonly report: Omit<TokenReport, "logprobs">;
  /** Calls are written as the old `function_call`. */
  readonly oldCalls: boolean;
}

/**
 * Steps → the text of their events: each choice's role once, thinking, text and calls, each choice's reason alone, the
 * usage last. The timings travel in the last chunk, so the last reason waits for them.
 *
 * This runs for each token of each stream. What is the same in all of a choice's chunks is turned into JSON once.
 */
export function createChatChunkEncoder(
  { id, created, model, fingerprint }: AnswerHead,
  { choices, includeUsage, report, oldCalls }: ChatChunkOptions,
): (step: ChatStep) => string {
  const common = { id, object: "chat.completion.chunk", created, model, system_fingerprint: fingerprint };
  // `{…,"choices":[` without the end of the object
  const start = `data: ${JSON.stringify(common).slice(0, -1)},"choices":[`;
  const usage = includeUsage ? `,"usage":null` : "";
  const starts = Array.from({ length: choices }, (_, index) => `${start}{"index":${index},"delta":`);
  const withoutExtras = `,"logprobs":null,"finish_reason":null}]${usage}}\n\n`;
  const role = `{"role":"assistant","content":"","refusal":null}`;
  let unfinished = choices;
  let lastReason = "";

  function event(choice: number, delta: string, piece: Extras = {}): string {
    const { tokens, timings, progress } = piece;
    const ids = report.ids ? piece.ids : undefined;
    if (tokens === undefined && timings === undefined && progress === undefined && ids === undefined) {
      return starts[choice] + delta + withoutExtras;
    }
    const logprobs = tokens === undefined ? "null" : JSON.stringify(toLogprobs(tokens, report.postSampling));
    const numbers = ids === undefined ? "" : `,"tokens":${JSON.stringify(ids)}`;
    const times = timings === undefined ? "" : `,"timings":${JSON.stringify(toTimings(timings))}`;
    const evaluated = progress === undefined ? "" : `,"prompt_progress":${JSON.stringify(toProgress(progress))}`;
    return `${starts[choice]}${delta},"logprobs":${logprobs},"finish_reason":null${numbers}}]${usage}${times}${evaluated}}\n\n`;
  }

  function reasonChoice(choice: number, reason: ChatFinishReason): string {
    return `${starts[choice]}{},"logprobs":null,"finish_reason":"${toReason(reason, oldCalls)}"}]${usage}`;
  }

  return (step) => {
    switch (step.type) {
      case "text":
      case "thinking": {
        // An empty piece without tokens would be an event that says nothing.
        if (step.text === "" && !step.tokens?.length && !(report.ids && step.ids?.length)) return "";
        const member = step.type === "text" ? "content" : "reasoning_content";
        return event(step.choice, `{"${member}":${JSON.stringify(step.text)}}`, step);
      }
      case "call": {
        const named = { name: step.name, arguments: "" };
        const call = { index: step.call, id: step.id, type: "function", function: named };
        return event(step.choice, JSON.stringify(oldCalls ? { function_call: named } : { tool_calls: [call] }), step);
      }
      case "arguments": {
        const more = { arguments: step.text };
        const call = { index: step.call, function: more };
        return event(step.choice, JSON.stringify(oldCalls ? { function_call: more } : { tool_calls: [call] }), step);
      }
      case "started":
        return starts.map((_, choice) => event(choice, role)).join("");
      case "progress":
        return event(0, role, { progress: step.progress });
      case "finish": {
        unfinished -= 1;
        const open = reasonChoice(step.choice, step.reason);
        if (unfinished > 0) return `${open}}\n\n`;
        lastReason = open;
        return "";
      }
      case "done": {
        const times = `,"timings":${JSON.stringify(toTimings(step.timings))}}\n\n`;
        if (!includeUsage) return lastReason + times;
        return `${lastReason}}\n\n${start}],"usage":${JSON.stringify(toUsage(step.usage))}${times}`;
      }
      default:
        return step satisfies never;
    }
  };
}

interface Extras {
  readonly tokens?: readonly TokenChance[];
  readonly ids?: readonly number[];
  readonly timings?: Timings;
  readonly progress?: Progress;
}
