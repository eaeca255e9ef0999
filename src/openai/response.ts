import type { FinishReason, GenerationStep, Timings, TokenChance, Usage } from "../domain/generation.ts";
import { toLogprobs } from "./logprobs.ts";
import { toTimings, toUsage } from "./usage.ts";

/** What all parts of one answer have in common. */
export interface AnswerHead {
  readonly id: string;
  /** When the request was accepted, in seconds since 1970. */
  readonly created: number;
  readonly model: string;
  readonly fingerprint: string;
}

export interface ChatAnswer {
  readonly body: Record<string, unknown>;
  readonly usage: Usage | undefined;
  readonly timings: Timings | undefined;
}

/** All steps → one `chat.completion`. */
export async function toChatCompletion(
  head: AnswerHead,
  { choices, logprobs }: { readonly choices: number; readonly logprobs: boolean },
  steps: AsyncIterable<GenerationStep>,
): Promise<ChatAnswer> {
  const texts = Array.from({ length: choices }, () => "");
  const reasons = Array.from({ length: choices }, (): FinishReason => "stop");
  const tokens = Array.from({ length: choices }, (): TokenChance[] => []);
  let usage: Usage | undefined;
  let timings: Timings | undefined;
  for await (const step of steps) {
    if (step.type === "text") {
      texts[step.choice] += step.text;
      tokens[step.choice]!.push(...(step.tokens ?? []));
    } else if (step.type === "finish") reasons[step.choice] = step.reason;
    else if (step.type === "done") ({ usage, timings } = step);
  }
  const body = {
    id: head.id,
    object: "chat.completion",
    created: head.created,
    model: head.model,
    system_fingerprint: head.fingerprint,
    service_tier: "default",
    choices: texts.map((content, index) => ({
      index,
      finish_reason: reasons[index],
      logprobs: logprobs ? toLogprobs(tokens[index]!) : null,
      message: { role: "assistant", content, refusal: null, annotations: [] },
    })),
    ...(usage && { usage: toUsage(usage) }),
    ...(timings && { timings: toTimings(timings) }),
  };
  return { body, usage, timings };
}
