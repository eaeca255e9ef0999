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

export interface Answer {
  readonly body: unknown;
  readonly usage: Usage | undefined;
  readonly timings: Timings | undefined;
}

interface CollectedSteps {
  readonly texts: string[];
  readonly reasons: FinishReason[];
  readonly tokens: TokenChance[][];
  usage: Usage | undefined;
  timings: Timings | undefined;
}

async function collectSteps(choices: number, steps: AsyncIterable<GenerationStep>): Promise<CollectedSteps> {
  const collected: CollectedSteps = {
    texts: Array.from({ length: choices }, () => ""),
    reasons: Array.from({ length: choices }, (): FinishReason => "stop"),
    tokens: Array.from({ length: choices }, (): TokenChance[] => []),
    usage: undefined,
    timings: undefined,
  };
  for await (const step of steps) {
    if (step.type === "text") {
      collected.texts[step.choice] += step.text;
      collected.tokens[step.choice]!.push(...(step.tokens ?? []));
    } else if (step.type === "finish") collected.reasons[step.choice] = step.reason;
    else if (step.type === "done") ({ usage: collected.usage, timings: collected.timings } = step);
  }
  return collected;
}

/** All steps → one `chat.completion`. */
export async function toChatCompletion(
  head: AnswerHead,
  { choices, logprobs }: { readonly choices: number; readonly logprobs: boolean },
  steps: AsyncIterable<GenerationStep>,
): Promise<Answer> {
  const { texts, reasons, tokens, usage, timings } = await collectSteps(choices, steps);
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

/** All steps → one `text_completion`. `echo`: what comes before each choice's text. */
export async function toTextCompletion(
  head: AnswerHead,
  echo: readonly string[],
  steps: AsyncIterable<GenerationStep>,
): Promise<Answer> {
  const { texts, reasons, usage, timings } = await collectSteps(echo.length, steps);
  const body = {
    id: head.id,
    object: "text_completion",
    created: head.created,
    model: head.model,
    system_fingerprint: head.fingerprint,
    choices: texts.map((text, index) => ({
      index,
      text: echo[index] + text,
      logprobs: null,
      finish_reason: reasons[index],
    })),
    ...(usage && { usage: toUsage(usage) }),
    ...(timings && { timings: toTimings(timings) }),
  };
  return { body, usage, timings };
}
