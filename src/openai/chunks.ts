import type { FinishReason, GenerationStep, Timings } from "../domain/generation.ts";
import type { ErrorBody } from "./error-envelope.ts";
import { toLogprobs } from "./logprobs.ts";
import type { AnswerHead } from "./response.ts";
import { toTimings, toUsage } from "./usage.ts";

/** The last event of a stream that succeeded. */
export const DONE_EVENT = "data: [DONE]\n\n";

export function toErrorEvent(body: ErrorBody): string {
  return `data: ${JSON.stringify(body)}\n\n`;
}

export interface ChunkOptions {
  readonly choices: number;
  readonly includeUsage: boolean;
  readonly form: ChunkForm;
}

/** How a route writes the members of a choice that hold its text. All is JSON text without the braces around it. */
export interface ChunkForm {
  readonly object: string;
  /** What stands before and after the text. */
  readonly around: readonly [string, string];
  /** The first chunk of a choice; undefined sends none. */
  readonly opening: (choice: number) => string | undefined;
  /** The chunk that holds nothing but the reason. */
  readonly closing: string;
}

/** `echo`: the prompt's text for each choice, sent first where it is not empty. */
export function textChunks(echo: readonly string[]): ChunkForm {
  return {
    object: "text_completion",
    around: [`"text":`, ""],
    opening: (choice) => (echo[choice] ? `"text":${JSON.stringify(echo[choice])}` : undefined),
    closing: `"text":""`,
  };
}

function lastMembers(timings: Timings): string {
  return `,"timings":${JSON.stringify(toTimings(timings))}}\n\n`;
}

/**
 * Steps → the text of their events: each choice's opening once, contents, each choice's reason alone, the usage
 * last. The timings travel in the last chunk, so the last reason waits for them.
 *
 * This runs for each token of each stream. Everything but the content is the same in all of a choice's chunks and is
 * turned into JSON once.
 */
export function createChunkEncoder(
  head: AnswerHead,
  { choices, includeUsage, form }: ChunkOptions,
): (step: GenerationStep) => string {
  const { id, created, model, fingerprint } = head;
  const common = { id, object: form.object, created, model, system_fingerprint: fingerprint };
  // `{…,"choices":[` without the end of the object
  const start = `data: ${JSON.stringify(common).slice(0, -1)},"choices":[`;
  const usage = includeUsage ? `,"usage":null` : "";
  const end = `]${usage}}\n\n`;
  const [before, after] = form.around;
  const rest = `,"logprobs":null,"finish_reason":null}${end}`;
  const beforeContent = Array.from({ length: choices }, (_, index) => `${start}{"index":${index},${before}`);
  const afterContent = after + rest;
  let unfinished = choices;
  let lastReason = "";

  function openingEvent(index: number): string {
    const members = form.opening(index);
    return members === undefined ? "" : `${start}{"index":${index},${members}${rest}`;
  }
  function reasonChoice(index: number, reason: FinishReason): string {
    return `${start}{"index":${index},${form.closing},"logprobs":null,"finish_reason":"${reason}"}]${usage}`;
  }

  return (step) => {
    switch (step.type) {
      case "text":
        if (step.tokens !== undefined) {
          const logprobs = JSON.stringify(toLogprobs(step.tokens));
          const content = beforeContent[step.choice] + JSON.stringify(step.text);
          return `${content}${after},"logprobs":${logprobs},"finish_reason":null}${end}`;
        }
        // An empty piece would be an event that says nothing.
        return step.text === "" ? "" : beforeContent[step.choice] + JSON.stringify(step.text) + afterContent;
      case "started":
        return Array.from({ length: choices }, (_, index) => openingEvent(index)).join("");
      case "prompt":
      case "progress":
        return "";
      case "finish": {
        unfinished -= 1;
        const open = reasonChoice(step.choice, step.reason);
        if (unfinished > 0) return `${open}}\n\n`;
        lastReason = open;
        return "";
      }
      case "done":
        return includeUsage
          ? `${lastReason}}\n\n${start}],"usage":${JSON.stringify(toUsage(step.usage))}${lastMembers(step.timings)}`
          : lastReason + lastMembers(step.timings);
      default:
        return step satisfies never;
    }
  };
}
