import type { FinishReason, GenerationStep, PromptToken, Timings, TokenChance, Usage } from "../domain/generation.ts";
import { toProgress } from "./progress.ts";
import { pickFields } from "./response-fields.ts";
import type { Answer, AnswerHead } from "./response.ts";
import { toLogprobs } from "./logprobs.ts";
import { TextLogprobsWriter } from "./text-logprobs.ts";
import { toTimings, toUsage } from "./usage.ts";

/** What an answer of POST /v1/completions depends on besides the steps. */
export interface TextPlan {
  /** What comes before the answers to each prompt; empty without `echo`. */
  readonly echo: readonly string[];
  /** Answers that are computed for each prompt. */
  readonly choices: number;
  /** Answers that are sent for each prompt: the best, where there are more. */
  readonly wanted: number;
  /** Whether tokens' probabilities are sent. */
  readonly logprobs: boolean;
  /** They are those after the samplers, in the shape that chats and llama.cpp have for them. */
  readonly postSampling: boolean;
  /** Whether the prompt's own are sent too. Never with those after the samplers. */
  readonly promptLogprobs: boolean;
  /** Whether the answers' token ids are sent. */
  readonly returnTokens: boolean;
  /** Members of a whole answer that are wanted; none is all. */
  readonly responseFields: readonly string[];
  /** At the end of a stream. */
  readonly includeUsage: boolean;
}

interface Choice {
  text: string;
  reason: FinishReason;
  readonly tokens: TokenChance[];
  readonly ids: number[];
}

/** All steps → one `text_completion`. */
export async function toTextCompletion(
  head: AnswerHead,
  plan: TextPlan,
  steps: AsyncIterable<GenerationStep>,
): Promise<Answer> {
  const choices = Array.from({ length: plan.echo.length * plan.choices }, (): Choice => ({
    text: "",
    reason: "stop",
    tokens: [],
    ids: [],
  }));
  const promptTokens: (readonly PromptToken[])[] = [];
  let usage: Usage | undefined;
  let timings: Timings | undefined;
  for await (const step of steps) {
    if (step.type === "text") {
      const choice = choices[step.choice]!;
      choice.text += step.text;
      for (const token of step.tokens ?? []) choice.tokens.push(token);
      for (const id of step.ids ?? []) choice.ids.push(id);
    } else if (step.type === "finish") choices[step.choice]!.reason = step.reason;
    else if (step.type === "prompt") promptTokens[step.prompt ?? 0] = step.tokens;
    else if (step.type === "done") ({ usage, timings } = step);
  }
  const sent = plan.echo.flatMap((before, prompt) =>
    best(choices.slice(prompt * plan.choices, (prompt + 1) * plan.choices), plan.wanted).map((choice) => ({
      text: before + choice.text,
      logprobs: plan.logprobs
        ? reportOf(plan, new TextLogprobsWriter(), choice.tokens, plan.promptLogprobs ? promptTokens[prompt] : [])
        : null,
      finish_reason: choice.reason,
      ...(plan.returnTokens && { tokens: choice.ids }),
    })),
  );
  const body = {
    ...toCommon(head),
    choices: sent.map((choice, index) => ({ index, ...choice })),
    ...(usage && { usage: toUsage(usage) }),
    ...(timings && { timings: toTimings(timings) }),
  };
  return { body: pickFields(body, plan.responseFields), usage, timings };
}

function reportOf(
  { postSampling }: TextPlan,
  writer: TextLogprobsWriter,
  tokens: readonly TokenChance[],
  before: readonly PromptToken[] = [],
): object {
  return postSampling ? toLogprobs(tokens, true) : writer.write([...before, ...tokens]);
}

/** The likeliest of them, by the mean over their tokens, the best first. */
function best(choices: readonly Choice[], wanted: number): readonly Choice[] {
  if (choices.length === wanted) return choices;
  return choices.toSorted((a, b) => meanLogprob(b) - meanLogprob(a)).slice(0, wanted);
}

function meanLogprob({ tokens }: Choice): number {
  const sum = tokens.reduce((total, { logprob }) => total + logprob, 0);
  return tokens.length === 0 ? 0 : sum / tokens.length;
}

function toCommon({ id, created, model, fingerprint }: AnswerHead) {
  return { id, object: "text_completion", created, model, system_fingerprint: fingerprint };
}

/**
 * Steps → the text of their events: the prompt where it is echoed, pieces of text, each choice's reason alone, the
 * usage last. The timings travel in the last chunk, so the last reason waits for them.
 */
export function createTextEncoder(head: AnswerHead, plan: TextPlan): (step: GenerationStep) => string {
  const encoder = new TextStream(head, plan);
  return (step) => encoder.encode(step);
}

/** This runs for each token of each stream: what is the same in all chunks is turned into JSON once. */
class TextStream {
  readonly #plan: TextPlan;
  /** `data: {…,"choices":[` without the end of the object. */
  readonly #start: string;
  readonly #usage: string;
  readonly #writers: readonly TextLogprobsWriter[];
  #unfinished: number;
  #lastReason = "";

  constructor(head: AnswerHead, plan: TextPlan) {
    this.#plan = plan;
    this.#start = `data: ${JSON.stringify(toCommon(head)).slice(0, -1)},"choices":[`;
    this.#usage = plan.includeUsage ? `,"usage":null` : "";
    this.#unfinished = plan.echo.length * plan.choices;
    this.#writers = Array.from({ length: this.#unfinished }, () => new TextLogprobsWriter());
  }

  encode(step: GenerationStep): string {
    switch (step.type) {
      case "started":
        // With the prompt's probabilities it comes when they do.
        return this.#plan.promptLogprobs ? "" : this.#echo(step.prompt ?? 0, undefined);
      case "prompt":
        return this.#plan.promptLogprobs ? this.#echo(step.prompt ?? 0, step.tokens) : "";
      case "progress": {
        const [first = 0] = this.#choicesOf(step.prompt ?? 0);
        const progress = JSON.stringify(toProgress(step.progress));
        return this.#chunk(first, "", undefined, `,"prompt_progress":${progress}`);
      }
      case "text": {
        // An empty piece without tokens would be an event that says nothing.
        if (step.text === "" && (step.tokens ?? []).length === 0) return "";
        const timings = step.timings === undefined ? "" : `,"timings":${JSON.stringify(toTimings(step.timings))}`;
        const ids = this.#plan.returnTokens ? `,"tokens":${JSON.stringify(step.ids ?? [])}` : "";
        const report =
          this.#plan.logprobs && step.tokens !== undefined
            ? reportOf(this.#plan, this.#writers[step.choice]!, step.tokens)
            : undefined;
        return this.#chunk(step.choice, step.text, report, timings, ids);
      }
      case "finish": {
        this.#unfinished -= 1;
        const open = `${this.#start}{"index":${step.choice},"text":"","logprobs":null,"finish_reason":"${step.reason}"}]${this.#usage}`;
        if (this.#unfinished > 0) return `${open}}\n\n`;
        this.#lastReason = open;
        return "";
      }
      case "done": {
        const end = `,"timings":${JSON.stringify(toTimings(step.timings))}}\n\n`;
        if (!this.#plan.includeUsage) return this.#lastReason + end;
        return `${this.#lastReason}}\n\n${this.#start}],"usage":${JSON.stringify(toUsage(step.usage))}${end}`;
      }
      default:
        return step satisfies never;
    }
  }

  #echo(prompt: number, tokens: readonly PromptToken[] | undefined): string {
    const before = this.#plan.echo[prompt];
    if (before === undefined || (before === "" && tokens === undefined)) return "";
    return this.#choicesOf(prompt)
      .map((index) =>
        this.#chunk(index, before, this.#plan.logprobs && tokens ? this.#writers[index]!.write(tokens) : undefined),
      )
      .join("");
  }

  #choicesOf(prompt: number): number[] {
    return Array.from({ length: this.#plan.choices }, (_, choice) => prompt * this.#plan.choices + choice);
  }

  #chunk(index: number, text: string, report: object | undefined, more = "", ids = ""): string {
    const logprobs = report === undefined ? "null" : JSON.stringify(report);
    return `${this.#start}{"index":${index},"text":${JSON.stringify(text)},"logprobs":${logprobs},"finish_reason":null${ids}}]${this.#usage}${more}}\n\n`;
  }
}
