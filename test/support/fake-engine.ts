import { setTimeout as sleep } from "node:timers/promises";

import type { Embedding, Engine, EngineStatus, Generation, Score } from "../../src/domain/engine.ts";
import { CodedError } from "../../src/domain/errors.ts";
import type {
  ChatPrompt,
  GenerateRequest,
  GenerationStep,
  InfillPrompt,
  Prompt,
  TokenizedParts,
} from "../../src/domain/generation.ts";
import type { ModelCard } from "../../src/domain/model.ts";

/** A step to yield, milliseconds to wait, something to throw, or a promise to wait for. */
export type Script = readonly (GenerationStep | number | Error | Promise<unknown>)[];

const card: ModelCard = {
  id: "tiny",
  aliases: ["tiny-alias", "org/tiny"],
  createdAt: 1731000000,
  contextLength: 4096,
  trainedContextLength: 8192,
  vocabularySize: 512,
  vocabularyType: "bpe",
  embeddingLength: 64,
  parameters: 2_000_000,
  bytes: 4_000_000,
  quantization: "Q8_0",
  fileName: "tiny.gguf",
  chatTemplate: "{{ messages }}",
  bosToken: "<s>",
  eosToken: "</s>",
  hasInfill: true,
  canRank: false,
  fingerprint: "fp_test",
};

/** The steps of a whole answer that says these texts, one choice of them. */
export function saying(...texts: string[]): Script {
  return [
    { type: "started" },
    ...texts.map((text): GenerationStep => ({ type: "text", choice: 0, text })),
    { type: "finish", choice: 0, reason: "stop" },
    done(texts.length),
  ];
}

export function done(completionTokens: number): GenerationStep {
  return {
    type: "done",
    usage: { promptTokens: 3, cachedTokens: 1, completionTokens },
    timings: {
      queuedMs: 2,
      cachedTokens: 1,
      promptTokens: 2,
      promptMs: 4,
      predictedTokens: completionTokens,
      predictedMs: 8,
    },
  };
}

export interface FakeEngineOptions {
  readonly script?: Script;
  /** Thrown by `generate` itself. */
  readonly refusal?: Error;
  /** Default: ready at once. */
  readonly ready?: Promise<void>;
  readonly slots?: EngineStatus["slots"];
}

/** Stands at the engine's port: plays a script, and records what it was asked and whether it was told to stop. */
export class FakeEngine implements Engine {
  readonly model = card;
  readonly ready: Promise<void>;
  readonly requests: GenerateRequest[] = [];
  /** Settles when a generation was aborted. */
  readonly aborted: Promise<void>;
  /** Steps taken by the server. */
  taken = 0;
  loadProgress = 0.42;
  isReady: boolean;
  readonly #options: FakeEngineOptions;
  #noteAbort: () => void = () => undefined;

  constructor(options: FakeEngineOptions = {}) {
    this.#options = options;
    this.isReady = options.ready === undefined;
    this.ready = (options.ready ?? Promise.resolve()).then(() => {
      this.isReady = true;
      return undefined;
    });
    this.ready.catch(() => undefined);
    this.aborted = new Promise((resolve) => {
      this.#noteAbort = resolve;
    });
  }

  async generate(request: GenerateRequest, signal: AbortSignal): Promise<Generation> {
    this.requests.push(request);
    signal.addEventListener("abort", () => this.#noteAbort());
    if (this.#options.refusal !== undefined) throw this.#options.refusal;
    return { promptTokens: 3, steps: this.#play(signal) };
  }

  async *#play(signal: AbortSignal): AsyncGenerator<GenerationStep> {
    for (const item of this.#options.script ?? saying("Hel", "lo")) {
      if (signal.aborted) throw new CodedError("client_left", "The client left.");
      if (typeof item === "number") await sleep(item, undefined, { signal }).catch(() => undefined);
      else if (item instanceof Promise) await item;
      else if (item instanceof Error) throw item;
      else {
        this.taken += 1;
        yield item;
      }
    }
  }

  /** The bytes of a text, counted by their last three bits. */
  async embed(inputs: readonly TokenizedParts[], signal: AbortSignal): Promise<readonly Embedding[]> {
    if (signal.aborted) throw new CodedError("client_left", "The client left.");
    return inputs.map((parts) => {
      const tokens = this.tokenize(parts);
      const vector = new Float32Array(8);
      for (const token of tokens) vector[token % 8]! += 1;
      return { vector, tokens: tokens.length };
    });
  }

  /** It has no ranking head. */
  async rank(): Promise<readonly Score[]> {
    throw new CodedError("not_supported", "This model has no head that ranks documents; ask another model.");
  }

  /** Each text part is as many tokens as it has characters. */
  async count(prompt: Prompt): Promise<number> {
    if (prompt.kind === "infill") return 3 + prompt.prefix.length + prompt.suffix.length;
    return prompt.kind === "chat" ? 3 : prompt.parts.reduce<number>((sum, part) => sum + String(part).length, 0);
  }

  render(prompt: ChatPrompt | InfillPrompt): string {
    if (prompt.kind === "infill") return prompt.prefix + prompt.suffix;
    return prompt.messages.map(({ content }) => content).join("\n");
  }

  tokenize(parts: TokenizedParts): number[] {
    return parts.flatMap((part) => (typeof part === "number" ? [part] : [...Buffer.from(part)]));
  }

  detokenize(tokens: readonly number[]): string {
    return Buffer.from(tokens).toString();
  }

  pieces(tokens: readonly number[]): Uint8Array[] {
    return tokens.map((token) => Uint8Array.of(token));
  }

  status(): EngineStatus {
    const idlePrefixes = { count: 2, bytes: 3_000_000, restored: 5 };
    return { slots: this.#options.slots ?? [], queued: 0, batches: 4, busySlotsInBatches: 6, idlePrefixes };
  }

  async eraseSlot(id: number): Promise<number> {
    return this.#options.slots?.[id]?.cachedTokens ?? 0;
  }

  async close(): Promise<void> {
    this.isReady = false;
  }
}
