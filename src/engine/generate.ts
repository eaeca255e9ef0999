import { CodedError } from "../domain/errors.ts";
import type { Generation } from "../domain/engine.ts";
import type { Ending, FinishReason, GenerateRequest, GenerationStep, TokenChance } from "../domain/generation.ts";
import { Aligner } from "./aligner.ts";
import type { Job, Scheduler } from "./batch.ts";
import { ChanceRecorder } from "./chances.ts";
import { Detokenizer } from "./detokenizer.ts";
import { constrainBias, type Grammars } from "./grammars.ts";
import type { Native, NativeGrammar, NativeGrammarState, NativeModel, Token } from "./native.ts";
import {
  choiceSeed,
  createSampler,
  randomSeed,
  refuseGrammarBeside,
  resolveBias,
  type ResolvedBias,
  type SamplerInputs,
} from "./sampling.ts";
import type { Sampler } from "./sampler.ts";
import { StepQueue } from "./step-queue.ts";
import { StopMatcher } from "./stop.ts";
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
 * Errors: `invalid_value` for a bias on a token that does not exist, `invalid_grammar`, `unsupported_parameter`.
 */
export function startGeneration(
  context: GenerateContext,
  request: GenerateRequest,
  prompt: readonly Token[],
  signal: AbortSignal,
): Generation {
  if (request.grammar !== undefined) refuseGrammarBeside(request.sampling);
  const grammar = request.grammar === undefined ? undefined : context.grammars.get(request.grammar);
  const bias = resolveBias(request.sampling, context.vocabulary);
  const run = new RunningRequest(
    context,
    request,
    prompt,
    grammar === undefined ? bias : constrainBias(bias, context.grammars.forbidden(), context.vocabulary.endTokens),
    grammar,
  );
  run.start(signal);
  return { promptTokens: prompt.length, steps: run.steps };
}

class RunningRequest {
  readonly steps: StepQueue;
  readonly #context: GenerateContext;
  readonly #request: GenerateRequest;
  readonly #prompt: readonly Token[];
  readonly #seed: bigint;
  readonly #bias: ResolvedBias;
  readonly #grammar: NativeGrammar | undefined;
  readonly #jobs: Job[] = [];
  #unfinished: number;
  #cachedTokens = 0;
  #completionTokens = 0;
  readonly #acceptedAt = performance.now();
  #startedAt = 0;
  #promptDoneAt = 0;

  constructor(
    context: GenerateContext,
    request: GenerateRequest,
    prompt: readonly Token[],
    bias: ResolvedBias,
    grammar: NativeGrammar | undefined,
  ) {
    this.#context = context;
    this.#request = request;
    this.#prompt = prompt;
    this.#bias = bias;
    this.#grammar = grammar;
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
    const { contextLength } = this.#context;
    const inputs = { seed: choiceSeed(this.#seed, choice), prompt: this.#prompt, contextLength, bias: this.#bias };
    const job = new ChoiceJob(
      this.#context,
      this.#request,
      inputs,
      { choice, grammar: this.#grammar },
      {
        started: (cachedTokens) => {
          if (choice > 0) return;
          this.#startedAt = performance.now();
          this.#cachedTokens = cachedTokens;
          this.steps.push({ type: "started" });
        },
        promptDone: () => {
          if (choice > 0) return;
          this.#promptDoneAt = performance.now();
          for (let other = 1; other < this.#request.choices; other++) this.#startChoice(other);
        },
        text: (text, tokens) => this.steps.push({ type: "text", choice, text, ...(tokens && { tokens }) }),
        finished: (reason, ending) => this.#finish(choice, reason, ending),
        failed: (error) => {
          this.#cancel();
          this.steps.fail(error);
        },
      },
    );
    this.#jobs.push(job);
    this.#context.scheduler.add(job);
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
    const promptTokens = this.#prompt.length;
    return {
      type: "done",
      usage: { promptTokens, cachedTokens: this.#cachedTokens, completionTokens: this.#completionTokens },
      timings: {
        queuedMs: this.#startedAt - this.#acceptedAt,
        cachedTokens: this.#cachedTokens,
        promptTokens: promptTokens - this.#cachedTokens,
        promptMs: this.#promptDoneAt - this.#startedAt,
        predictedTokens: this.#completionTokens,
        predictedMs: performance.now() - this.#promptDoneAt,
      },
    };
  }

  #cancel(): void {
    for (const job of this.#jobs) this.#context.scheduler.cancel(job);
  }
}

interface ChoiceEvents {
  started(cachedTokens: number): void;
  promptDone(): void;
  text(text: string, tokens: readonly TokenChance[] | undefined): void;
  finished(reason: FinishReason, ending: Ending): void;
  failed(error: unknown): void;
}

/** One answer: tokens in, text out. */
class ChoiceJob implements Job {
  readonly prompt: readonly Token[];
  readonly limit: number;
  readonly isFurtherChoice: boolean;
  readonly hasGrammar: boolean;
  readonly #context: GenerateContext;
  readonly #request: GenerateRequest;
  readonly #inputs: SamplerInputs;
  readonly #events: ChoiceEvents;
  readonly #detokenizer: Detokenizer;
  readonly #stop: StopMatcher;
  /** Both only where token probabilities are asked for. */
  #chances: ChanceRecorder | undefined;
  #aligner: Aligner | undefined;
  readonly #grammar: NativeGrammar | undefined;
  #grammarState: NativeGrammarState | undefined;
  #tokens = 0;

  constructor(
    context: GenerateContext,
    request: GenerateRequest,
    inputs: SamplerInputs,
    { choice, grammar }: { readonly choice: number; readonly grammar: NativeGrammar | undefined },
    events: ChoiceEvents,
  ) {
    this.hasGrammar = grammar !== undefined;
    this.#grammar = grammar;
    this.prompt = inputs.prompt;
    this.isFurtherChoice = choice > 0;
    this.limit = request.maxTokens ?? Number.POSITIVE_INFINITY;
    this.#context = context;
    this.#request = request;
    this.#inputs = inputs;
    this.#events = events;
    this.#detokenizer = new Detokenizer(context.model, inputs.prompt, context.vocabulary.isByteLevel);
    this.#stop = new StopMatcher(request.stop);
  }

  createSampler(): Sampler {
    const { native, model, tokenTexts } = this.#context;
    const { sampling, topLogprobs } = this.#request;
    if (this.#grammar !== undefined) this.#grammarState = native.createGrammarState(model, this.#grammar);
    const sampler = createSampler(this.#context, sampling, this.#inputs, this.#grammarState);
    if (topLogprobs === undefined) return sampler;
    this.#chances = new ChanceRecorder(sampler, native, model, tokenTexts, topLogprobs);
    this.#aligner = new Aligner();
    return this.#chances;
  }

  reasonOfEnd(token: Token | undefined): FinishReason {
    if (this.#grammarState === undefined) return "stop";
    // Biases may leave only an end that the grammar does not have: the answer is then cut, not complete.
    return token !== undefined && this.#context.native.grammarAllows(this.#grammarState, token) ? "stop" : "length";
  }

  onStart(cachedTokens: number): void {
    this.#events.started(cachedTokens);
  }

  onPrompt(): void {
    this.#events.promptDone();
  }

  onToken(token: Token): boolean {
    this.#tokens += 1;
    const chance = this.#chances?.take();
    if (chance !== undefined) this.#aligner?.token(chance);
    return !this.#send(this.#detokenizer.push(token));
  }

  onEnd(reason: FinishReason): void {
    const metStop = this.#send(this.#detokenizer.flush());
    if (!metStop) this.#sendText(this.#stop.flush());
    this.#events.finished(metStop ? "stop" : reason, { tokens: this.#tokens, stop: this.#stop.met });
  }

  onError(error: unknown): void {
    this.#events.failed(error);
  }

  /** True when a stop sequence was met. */
  #send(piece: string): boolean {
    if (piece === "") return false;
    this.#aligner?.text(piece);
    const { text, stopped } = this.#stop.push(piece);
    this.#sendText(text);
    return stopped;
  }

  #sendText(text: string): void {
    const tokens = this.#aligner?.send(text);
    if (text !== "" || (tokens !== undefined && tokens.length > 0)) this.#events.text(text, tokens);
  }
}
