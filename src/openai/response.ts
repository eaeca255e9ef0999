import type { FinishReason, GenerationStep, Timings, Usage } from "../domain/generation.ts";
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
  usage: Usage | undefined;
  timings: Timings | undefined;
}

async function collectSteps(choices: number, steps: AsyncIterable<GenerationStep>): Promise<CollectedSteps> {
  const collected: CollectedSteps = {
    texts: Array.from({ length: choices }, () => ""),
    reasons: Array.from({ length: choices }, (): FinishReason => "stop"),
    usage: undefined,
    timings: undefined,
  };
  for await (const step of steps) {
    if (step.type === "text") collected.texts[step.choice] += step.text;
    else if (step.type === "finish") collected.reasons[step.choice] = step.reason;
    else if (step.type === "done") ({ usage: collected.usage, timings: collected.timings } = step);
  }
  return collected;
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
