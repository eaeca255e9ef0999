import { CodedError } from "../domain/errors.ts";
import type { Generation } from "../domain/engine.ts";
import type { Ending, FinishReason, GenerateRequest, GenerationStep, Timings } from "../domain/generation.ts";
import type { Scheduler } from "./batch.ts";
import { ChoiceJob, type ChoiceInputs } from "./choice-job.ts";
import type { Grammars } from "./grammars.ts";
import type { Native, NativeModel, Token } from "./native.ts";
import { choiceSeed, randomSeed, resolveBias } from "./sampling.ts";
import { StepQueue } from "./step-queue.ts";
import type { TokenTexts } from "./token-texts.ts";
import type { Vocabulary } from "./vocabulary.ts";

export interface GenerateContext {
  readonly native: Native;
  readonly model: NativeModel;
  readonly scheduler: Scheduler;
  readonly contextLength: number;
  readonly vocabulary: Vocabulary;
  readonly tokenTexts: TokenTexts;
  readonly grammars: Grammars;
}

/**
 * Runs a tokenized prompt: the first choice evaluates it, the others start when that is done and take over its state.
 * Text, stop sequences and counts live here; the scheduler knows tokens only.
 * Errors: `invalid_value` for a bias on a token that does not exist, `invalid_grammar`.
 */
export function startGeneration(
  context: GenerateContext,
  request: GenerateRequest,
  prompt: readonly Token[],
  signal: AbortSignal,
): Generation {
  const { grammars, vocabulary, contextLength } = context;
  const text = request.grammar ?? request.lazyGrammar?.grammar;
  const run = new RunningRequest(context, request, {
    prompt,
    contextLength,
    bias: resolveBias(request.sampling, vocabulary),
    grammar: text === undefined ? undefined : grammars.get(text),
    lazy: request.grammar === undefined ? request.lazyGrammar : undefined,
    visible: vocabulary.tokensOf(request.visibleTokens ?? []),
  });
  run.start(signal);
  return { promptTokens: prompt.length, steps: run.steps };
}

/** What all choices of a request have in common. */
type CommonInputs = Omit<ChoiceInputs, "choice" | "seed">;

class RunningRequest {
  readonly steps: StepQueue;
  readonly #context: GenerateContext;
  readonly #request: GenerateRequest;
  readonly #inputs: CommonInputs;
  readonly #seed: bigint;
  readonly #jobs: ChoiceJob[] = [];
  #unfinished: number;
  #cachedTokens = 0;
  #completionTokens = 0;
  readonly #acceptedAt = performance.now();
  #startedAt = 0;
  #promptDoneAt = 0;

  constructor(context: GenerateContext, request: GenerateRequest, inputs: CommonInputs) {
    this.#context = context;
    this.#request = request;
    this.#inputs = inputs;
    this.#seed = request.sampling.seed ?? randomSeed();
    this.#unfinished = request.choices;
    this.steps = new StepQueue(() => this.#cancel());
  }

  start(signal: AbortSignal): void {
    const leave = () => {
      this.#cancel();
      this.steps.fail(new CodedError("client_left", "The client left."));
    };
    if (signal.aborted) return leave();
    signal.addEventListener("abort", leave, { once: true });
    this.steps.onEnd(() => signal.removeEventListener("abort", leave));
    this.#startChoice(0);
  }

  #startChoice(choice: number): void {
    const isFirst = choice === 0;
    const inputs = { ...this.#inputs, choice, seed: choiceSeed(this.#seed, choice) };
    const job = new ChoiceJob(this.#context, this.#request, inputs, {
      started: (cachedTokens, slot) => {
        if (!isFirst) return;
        this.#startedAt = performance.now();
        this.#cachedTokens = cachedTokens;
        this.steps.push({ type: "started", slot });
        this.#reportProgress(cachedTokens);
      },
      progress: (processed) => {
        if (isFirst) this.#reportProgress(processed);
      },
      prompt: (tokens) => this.steps.push({ type: "prompt", tokens }),
      promptDone: () => {
        if (!isFirst) return;
        this.#promptDoneAt = performance.now();
        for (let other = 1; other < this.#request.choices; other++) this.#startChoice(other);
      },
      text: (text, report) => {
        const timings = this.#request.reportTimings === true ? { timings: this.#timings(job.tokens) } : {};
        this.steps.push({ type: "text", choice, text, ...report, ...timings });
      },
      finished: (reason, ending) => this.#finish(choice, reason, ending),
      failed: (error) => {
        this.#cancel();
        this.steps.fail(error);
      },
    });
    this.#jobs.push(job);
    this.#context.scheduler.add(job);
  }

  #reportProgress(processed: number): void {
    if (this.#request.reportProgress !== true) return;
    this.steps.push({
      type: "progress",
      progress: {
        total: this.#inputs.prompt.length,
        cached: this.#cachedTokens,
        processed,
        timeMs: performance.now() - this.#startedAt,
      },
    });
  }

  #finish(choice: number, reason: FinishReason, ending: Ending): void {
    this.#completionTokens += ending.tokens;
    this.#unfinished -= 1;
    this.steps.push({ type: "finish", choice, reason, ending });
    if (this.#unfinished > 0) return;
    this.steps.push(this.#done());
    this.steps.end();
  }

  #done(): GenerationStep {
    const completionTokens = this.#completionTokens;
    return {
      type: "done",
      usage: { promptTokens: this.#inputs.prompt.length, cachedTokens: this.#cachedTokens, completionTokens },
      timings: this.#timings(completionTokens),
    };
  }

  /** So far. */
  #timings(predictedTokens: number): Timings {
    return {
      queuedMs: this.#startedAt - this.#acceptedAt,
      cachedTokens: this.#cachedTokens,
      promptTokens: this.#inputs.prompt.length - this.#cachedTokens,
      promptMs: this.#promptDoneAt - this.#startedAt,
      predictedTokens,
      predictedMs: performance.now() - this.#promptDoneAt,
      draftedTokens: this.#jobs.reduce((sum, { drafts }) => sum + drafts.drafted, 0),
      acceptedTokens: this.#jobs.reduce((sum, { drafts }) => sum + drafts.accepted, 0),
    };
  }

  #cancel(): void {
    for (const job of this.#jobs) this.#context.scheduler.cancel(job);
  }
}
