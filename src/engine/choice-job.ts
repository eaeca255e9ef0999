import type { SlotTask } from "../domain/engine.ts";
import type {
  DraftLimits,
  Ending,
  FinishReason,
  GenerateRequest,
  LazyGrammar,
  PromptToken,
  TokenChance,
} from "../domain/generation.ts";
import { Aligner } from "./aligner.ts";
import { ChanceReader, ChanceRecorder, LeftRecorder, type ChanceNotes } from "./chances.ts";
import { LazyConstraint, WholeConstraint, type Constraint } from "./constraint.ts";
import { Detokenizer } from "./detokenizer.ts";
import type { GenerateContext } from "./generate.ts";
import type { Job } from "./job.ts";
import { LineWatch } from "./line-watch.ts";
import type { NativeContext, NativeGrammar, Token } from "./native.ts";
import { PromptReader } from "./prompt-reader.ts";
import { createSampler, type SamplerInputs } from "./sampling.ts";
import type { Sampler } from "./sampler.ts";
import { StopMatcher } from "./stop.ts";

/** What a piece of text tells of its tokens, where it was asked for. */
export interface PieceReport {
  readonly tokens?: readonly TokenChance[];
  readonly ids?: readonly number[];
}

export interface ChoiceEvents {
  started(cachedTokens: number, slot: number): void;
  progress(processed: number): void;
  prompt(tokens: readonly PromptToken[]): void;
  promptDone(): void;
  text(text: string, report: PieceReport): void;
  finished(reason: FinishReason, ending: Ending): void;
  failed(error: unknown): void;
}

export interface ChoiceInputs extends SamplerInputs {
  readonly choice: number;
  readonly grammar: NativeGrammar | undefined;
  readonly lazy: LazyGrammar | undefined;
  /** Control tokens that the text shows. */
  readonly visible: ReadonlySet<Token>;
}

interface TokenReport {
  readonly id: Token;
  readonly chance: TokenChance | undefined;
}

/** Counts jobs, for their ids. */
let jobs = 0;

/** One answer: tokens in, text out. */
export class ChoiceJob implements Job {
  readonly prompt: readonly Token[];
  readonly limit: number;
  readonly isFurtherChoice: boolean;
  readonly isConstrained: boolean;
  readonly reuse: boolean;
  readonly wantedSlot: number | undefined;
  readonly draft: DraftLimits;
  readonly #context: GenerateContext;
  readonly #request: GenerateRequest;
  readonly #inputs: ChoiceInputs;
  readonly #events: ChoiceEvents;
  readonly #detokenizer: Detokenizer;
  readonly #lines: LineWatch | undefined;
  readonly #stop: StopMatcher;
  readonly #aligner: Aligner<TokenReport> | undefined;
  readonly #promptReader: PromptReader | undefined;
  #chances: ChanceNotes | undefined;
  #constraint: Constraint | undefined;
  readonly #id = ++jobs;
  #tokens = 0;
  #hasNewLine = false;
  #drafted = 0;
  #accepted = 0;
  #slot = 0;
  #promptDoneAt = 0;

  constructor(context: GenerateContext, request: GenerateRequest, inputs: ChoiceInputs, events: ChoiceEvents) {
    this.prompt = inputs.prompt;
    this.limit = request.maxTokens ?? Number.POSITIVE_INFINITY;
    this.isFurtherChoice = inputs.choice > 0;
    this.isConstrained = inputs.grammar !== undefined;
    this.wantedSlot = request.slot;
    this.draft = request.draft ?? {};
    this.#context = context;
    this.#request = request;
    this.#inputs = inputs;
    this.#events = events;
    const { model, native, tokenTexts, vocabulary } = context;
    this.#detokenizer = new Detokenizer(model, inputs.prompt, vocabulary.isByteLevel, inputs.visible);
    this.#stop = new StopMatcher(request.stop);
    const { leastIndent = 0, timeLimitMs = 0, promptLogprobs, topLogprobs, reportIds = false } = request;
    if (leastIndent > 0 || timeLimitMs > 0) {
      const isTimeUp = () => timeLimitMs > 0 && performance.now() - this.#promptDoneAt > timeLimitMs;
      this.#lines = new LineWatch({ leastIndent, isTimeUp });
    }
    if (topLogprobs !== undefined || reportIds) this.#aligner = new Aligner();
    if (promptLogprobs !== undefined && !this.isFurtherChoice) {
      this.#promptReader = new PromptReader(native, model, tokenTexts, inputs.prompt, promptLogprobs);
    }
    // The further choices of a request that evaluates everything anew share what its first one evaluated.
    this.reuse = this.isFurtherChoice || ((request.reuse ?? true) && this.#promptReader === undefined);
  }

  get wantsPromptRows(): boolean {
    return this.#promptReader !== undefined;
  }

  /** Drawn so far. */
  get tokens(): number {
    return this.#tokens;
  }

  get task(): SlotTask {
    const { prompt: _, ...request } = this.#request;
    return {
      id: this.#id,
      request,
      promptTokens: this.prompt.length,
      tokens: this.#tokens,
      hasNewLine: this.#hasNewLine,
    };
  }

  /** Guessed tokens so far, and how many of them were right. */
  get drafts(): { readonly drafted: number; readonly accepted: number } {
    return { drafted: this.#drafted, accepted: this.#accepted };
  }

  createSampler(): Sampler {
    const { native, model, tokenTexts, vocabulary, grammars } = this.#context;
    const { sampling, topLogprobs, postSampling = false } = this.#request;
    const forbidden = this.isConstrained
      ? grammars.forbidden().filter((token) => !this.#inputs.visible.has(token))
      : [];
    this.#constraint = this.#createConstraint(forbidden);
    const left = postSampling && topLogprobs !== undefined ? new LeftRecorder(tokenTexts, topLogprobs) : undefined;
    const parts = { native, model, vocabulary, forbidden };
    const onDrawn: LeftRecorder["note"] | undefined = left && ((token, list) => left.note(token, list));
    const { grammar } = this.#inputs;
    const alphabet = grammar === undefined ? [] : grammars.alphabetOf(grammar);
    const sampler = createSampler(parts, sampling, this.#inputs, { constraint: this.#constraint, alphabet, onDrawn });
    this.#chances = left;
    if (topLogprobs === undefined || left !== undefined) return sampler;
    const recorder = new ChanceRecorder(sampler, new ChanceReader(native, model, tokenTexts, topLogprobs));
    this.#chances = recorder;
    return recorder;
  }

  #createConstraint(forbidden: readonly Token[]): Constraint | undefined {
    const { native, model, vocabulary } = this.#context;
    const { grammar, lazy } = this.#inputs;
    if (grammar === undefined) return undefined;
    const parts = { native, model, grammar, forbidden: new Set(forbidden) };
    return lazy === undefined ? new WholeConstraint(parts) : new LazyConstraint(parts, lazy.triggers, vocabulary);
  }

  reasonOfEnd(token: Token | undefined): FinishReason {
    if (this.#constraint === undefined) return "stop";
    // Biases may leave only an end that the grammar does not have: the answer is then cut, not complete.
    return token !== undefined && this.#constraint.allows(token) ? "stop" : "length";
  }

  onStart(cachedTokens: number, slot: number): void {
    this.#slot = slot;
    this.#events.started(cachedTokens, slot);
  }

  onProgress(processed: number): void {
    this.#events.progress(processed);
  }

  async readPromptRows(context: NativeContext, rows: Uint32Array, from: number): Promise<void> {
    await this.#promptReader?.read(context, rows, from);
  }

  onPrompt(): void {
    this.#promptDoneAt = performance.now();
    this.#events.promptDone();
    if (this.#promptReader === undefined) return;
    this.#events.prompt(this.#promptReader.tokens);
    this.#promptReader.dispose();
  }

  onDraft(drafted: number, accepted: number): void {
    this.#drafted += drafted;
    this.#accepted += accepted;
  }

  onToken(token: Token): FinishReason | undefined {
    this.#tokens += 1;
    this.#aligner?.token({ id: token, chance: this.#chances?.take() });
    return this.#send(this.#detokenizer.push(token));
  }

  onEnd(reason: FinishReason): void {
    const met = this.#send(this.#detokenizer.flush());
    if (met === undefined) {
      const held = this.#stop.push(this.#lines?.flush() ?? "").text;
      this.#sendText(held + this.#stop.flush());
    }
    this.#events.finished(met ?? reason, { tokens: this.#tokens, stop: this.#stop.met, slot: this.#slot });
  }

  onError(error: unknown): void {
    this.#events.failed(error);
  }

  /** Why the answer ends with this piece of text; undefined where it goes on. */
  #send(piece: string): FinishReason | undefined {
    if (piece === "") return undefined;
    this.#aligner?.text(piece);
    const lines = this.#lines?.push(piece) ?? { text: piece, ended: false };
    const { text, stopped } = this.#stop.push(lines.text);
    this.#sendText(stopped || !lines.ended ? text : text + this.#stop.flush());
    if (stopped) return "stop";
    return lines.ended ? "length" : undefined;
  }

  #sendText(text: string): void {
    const reports = this.#aligner?.send(text) ?? [];
    if (text === "" && reports.length === 0) return;
    this.#hasNewLine ||= text.includes("\n");
    const { topLogprobs, reportIds = false } = this.#request;
    this.#events.text(text, {
      ...(topLogprobs !== undefined && { tokens: reports.flatMap(({ chance }) => chance ?? []) }),
      ...(reportIds && { ids: reports.map(({ id }) => id) }),
    });
  }
}
