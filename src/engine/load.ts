import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { basename, dirname } from "node:path";

import type { Embedding, Engine, EngineStatus, Generation, Score, TokenizeOptions } from "../domain/engine.ts";
import { CodedError } from "../domain/errors.ts";
import type { ChatPrompt, GenerateRequest, InfillPrompt, Prompt, TokenizedParts } from "../domain/generation.ts";
import type { ModelCard } from "../domain/model.ts";
import { readGgufHeader, type GgufHeader } from "../gguf/gguf-header.ts";
import { cellsFor, idlePrefixBytes, kvBytesPerToken, MIB } from "../gguf/memory-budget.ts";
import { BATCH_TOKENS, Scheduler } from "./batch.ts";
import { openBindings, type Bindings } from "./bindings.ts";
import { Embedder, poolingOverride } from "./embedder.ts";
import { startGeneration, type GenerateContext } from "./generate.ts";
import { Grammars } from "./grammars.ts";
import { IdlePrefixes } from "./idle-prefixes.ts";
import { availableMemory, noRoomForContext, requireMemory, wholeModel } from "./memory-check.ts";
import type { Token, NativeContext, NativeModel } from "./native.ts";
import { pinShippedPrefix, type PinnedPrefixPlace } from "./pinned-prefix.ts";
import { PromptBuilder } from "./prompt.ts";
import { tokenBytes } from "./token-bytes.ts";
import { StateFiles } from "./state-files.ts";
import { TokenTexts } from "./token-texts.ts";
import { Vocabulary } from "./vocabulary.ts";

export interface EngineOptions {
  readonly modelPath: string;
  readonly modelId: string;
  readonly aliases: readonly string[];
  /** Tokens of one sequence; undefined takes what the model was trained for, at most DEFAULT_CONTEXT_LENGTH. */
  readonly contextLength: number | undefined;
  /** Requests that run at the same time. */
  readonly slots: number;
  /** Requests that may wait for a slot. */
  readonly queueLength: number;
  /** The number of vCPUs, never more: llama.cpp's threads spin at barriers. */
  readonly threads: number;
  /** What the process may use; undefined takes what the machine or its control group has. */
  readonly memoryMiB?: number | undefined;
  /** For states of conversations without a slot; undefined takes a part of what the model leaves, 0 keeps none. */
  readonly idlePrefixMiB?: number | undefined;
  /** Which interface of the library to use. Default `addon`. */
  readonly bindings?: Bindings;
  readonly log?: (event: string, data: Record<string, unknown>) => void;
}

const DEFAULT_CONTEXT_LENGTH = 4096;
/** A model this small computes a token in less time than two threads need to meet (measured: 2,900 to 1,100 tokens/s). */
const SMALL_BYTES = 32 * 1024 * 1024;

/**
 * Starts to load a model and returns at once; `ready` tells the outcome.
 * Errors of `ready`: `model_file_missing`, `model_file_invalid`, `model_load_failed`, `config_invalid`.
 */
export function startEngine(options: EngineOptions): Engine {
  return new LlamaEngine(options);
}

interface Loaded extends GenerateContext {
  readonly context: NativeContext;
  readonly card: ModelCard;
  readonly prompts: PromptBuilder;
  readonly embedder: Embedder;
}

class LlamaEngine implements Engine {
  readonly ready: Promise<void>;
  readonly #options: EngineOptions;
  readonly #closing = new AbortController();
  #loaded: Loaded | undefined;
  #progress = 0;
  /** Prompts that are being built, for a generation or only to be counted. */
  readonly #preparing = new Set<Promise<unknown>>();
  /** Generations between acceptance and their place in the scheduler's queue. */
  #entering = 0;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.ready = this.#load();
    // Whoever awaits `ready` sees the reason; nobody awaiting it must not end the process.
    this.ready.catch(() => {});
  }

  get isReady(): boolean {
    return this.#loaded !== undefined && !this.#closing.signal.aborted;
  }

  get loadProgress(): number {
    return this.isReady ? 1 : this.#progress;
  }

  get model(): ModelCard {
    return this.#require().card;
  }

  async generate(request: GenerateRequest, signal: AbortSignal): Promise<Generation> {
    const loaded = this.#require();
    if (loaded.scheduler.waiting + this.#entering >= this.#options.queueLength + this.#freeSlots(loaded)) {
      throw new CodedError(
        "rate_limit_exceeded",
        `All ${this.#options.slots} slots are busy and ${this.#options.queueLength} requests wait already. Try again later.`,
      );
    }
    this.#entering += 1;
    try {
      const tokens = await this.#build(request.prompt, loaded.contextLength, () => signal.aborted);
      // The engine may have been closed meanwhile.
      return startGeneration(this.#require(), request, tokens, signal);
    } finally {
      this.#entering -= 1;
    }
  }

  async embed(inputs: readonly TokenizedParts[], signal: AbortSignal): Promise<readonly Embedding[]> {
    const { prompts, embedder, contextLength } = this.#require();
    const isOver = () => signal.aborted || this.#closing.signal.aborted;
    return this.#prepare(async () => {
      const tokenized: Token[][] = [];
      for (const parts of inputs) tokenized.push(await prompts.document(parts, contextLength, isOver));
      return embedder.embed(tokenized, isOver);
    });
  }

  async rank(query: string, documents: readonly string[], signal: AbortSignal): Promise<readonly Score[]> {
    const { prompts, embedder, contextLength } = this.#require();
    const isOver = () => signal.aborted || this.#closing.signal.aborted;
    return this.#prepare(async () => {
      const pairs: Token[][] = [];
      for (const document of documents) pairs.push(await prompts.pair(query, document, contextLength, isOver));
      return embedder.rank(pairs, isOver);
    });
  }

  async count(prompt: Prompt): Promise<number> {
    return (await this.#build(prompt, Number.POSITIVE_INFINITY, () => false)).length;
  }

  #build(prompt: Prompt, limit: number, isOver: () => boolean): Promise<Token[]> {
    const { prompts } = this.#require();
    return this.#prepare(() => prompts.build(prompt, limit, () => isOver() || this.#closing.signal.aborted));
  }

  /** `close` waits for this work: native memory must not go while it is read. */
  async #prepare<Result>(work: () => Promise<Result>): Promise<Result> {
    const running = work();
    this.#preparing.add(running);
    try {
      return await running;
    } catch (error) {
      // While the engine closes, every fault is that.
      this.#require();
      throw error;
    } finally {
      this.#preparing.delete(running);
    }
  }

  render(prompt: ChatPrompt | InfillPrompt): string {
    return this.#require().prompts.render(prompt);
  }

  tokenize(parts: TokenizedParts, options: TokenizeOptions): number[] {
    return this.#require().prompts.tokenize(parts, options);
  }

  detokenize(tokens: readonly number[]): string {
    const { model, vocabulary } = this.#require();
    vocabulary.refuseUnknown(tokens, "tokens");
    return model.detokenize(Uint32Array.from(tokens), true);
  }

  pieces(tokens: readonly number[]): Uint8Array[] {
    const { model, vocabulary } = this.#require();
    vocabulary.refuseUnknown(tokens, "tokens");
    return tokens.map((token) => tokenBytes(model, token, vocabulary.isByteLevel));
  }

  status(): EngineStatus {
    const { scheduler } = this.#require();
    return {
      slots: scheduler.slots,
      queued: scheduler.waiting,
      ...scheduler.work,
      idlePrefixes: scheduler.idlePrefixes,
    };
  }

  async eraseSlot(id: number): Promise<number> {
    const { scheduler } = this.#require();
    const { length } = scheduler.slots;
    if (id < length) return scheduler.erase(id);
    const message = `Invalid value for 'id': expected the number of a slot, from 0 to ${length - 1}, got ${id}.`;
    throw new CodedError("invalid_value", message, { param: "id" });
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.ready.catch(() => {});
    const loaded = this.#loaded;
    if (loaded === undefined) return;
    this.#loaded = undefined;
    // Nothing may touch the model once it is disposed of: llama.cpp would crash.
    await Promise.allSettled(this.#preparing);
    await loaded.scheduler.close();
    await loaded.embedder.close();
    await loaded.context.dispose();
    await loaded.model.dispose();
    await loaded.native.close();
  }

  #freeSlots(loaded: Loaded): number {
    return loaded.scheduler.slots.filter((slot) => !slot.busy).length;
  }

  #require(): Loaded {
    if (this.#closing.signal.aborted) throw new CodedError("shutting_down", "The server is shutting down.");
    if (this.#loaded === undefined) throw new CodedError("model_loading", "Loading model");
    return this.#loaded;
  }

  async #load(): Promise<void> {
    const startedAt = performance.now();
    const { modelPath, slots, log } = this.#options;
    const header = readGgufHeader(modelPath);
    const contextLength = chooseContextLength(this.#options.contextLength, header);
    const available = availableMemory(this.#options.memoryMiB);
    const shape = wholeModel(header, modelPath);
    requireMemory(shape, { contextLength, slots }, available);
    const native = await openBindings(this.#options.bindings ?? "addon");
    const threads = shape.requiredFileBytes <= SMALL_BYTES ? 1 : this.#options.threads;
    const overrides = poolingOverride(header.architecture, header.poolingType);
    const model = await native.openModel(modelPath, overrides, (part) => (this.#progress = part));
    const context = await native.openContext(model, {
      cells: cellsFor(contextLength) * slots,
      sequences: slots,
      threads,
      batchTokens: BATCH_TOKENS + slots,
    });
    const template = PromptBuilder.templateOf(header.chatTemplate);
    const vocabulary = new Vocabulary(model, header.vocabularySize ?? 0, template);
    const { idlePrefixMiB } = this.#options;
    let embeds = false;
    const idleBytes = () =>
      idlePrefixMiB === undefined
        ? idlePrefixBytes(shape, { contextLength, slots }, available, embeds)
        : idlePrefixMiB * MIB;
    // Where evaluating again costs next to nothing.
    const isExact = shape.requiredFileBytes <= SMALL_BYTES;
    const idle = openIdlePrefixes({
      context,
      bytesPerToken: kvBytesPerToken(shape),
      budgetBytes: idleBytes,
      place: {
        directory: dirname(modelPath),
        slots,
        contextLength,
        weightBytes: model.getTotalSize(),
        vocabularySize: vocabulary.size,
        arithmetic: native.arithmetic,
        isExact,
      },
      log,
    });
    const scheduler = new Scheduler({
      context,
      slots,
      contextLength,
      isEndToken: (token) => model.isEogToken(token),
      isExact,
      idle,
    });
    const prompts = new PromptBuilder(native, model, vocabulary, template, contextLength, header.ranking);
    this.#loaded = {
      native,
      model,
      context,
      scheduler,
      contextLength,
      vocabulary,
      tokenTexts: new TokenTexts(model, vocabulary.isByteLevel),
      grammars: new Grammars(native, model, vocabulary),
      prompts,
      embedder: new Embedder(native, model, {
        contextLength,
        threads,
        pooling: header.poolingType,
        isCausal: header.isCausal,
        queueLength: this.#options.queueLength,
        onOpen: () => (embeds = true),
        noRoom: noRoomForContext(shape, { contextLength, slots }, available),
      }),
      card: {
        ...(await describe(this.#options, header, model, vocabulary, contextLength)),
        chatTemplate: template,
        hasInfill: prompts.hasInfill,
        canRank: prompts.hasPairs,
        bosToken: prompts.bosToken,
        eosToken: prompts.eosToken,
      },
    };
    log?.("model loaded", {
      model: this.#options.modelId,
      contextLength,
      slots,
      threads,
      loadMs: Math.round(performance.now() - startedAt),
    });
  }
}

interface IdleInputs {
  readonly context: NativeContext;
  readonly bytesPerToken: number;
  readonly budgetBytes: () => number;
  readonly place: PinnedPrefixPlace;
  readonly log: EngineOptions["log"];
}

/** With the prefix that ships beside the model, if there is one. Undefined where nothing can be kept. */
function openIdlePrefixes({ context, bytesPerToken, budgetBytes, place, log }: IdleInputs): IdlePrefixes | undefined {
  const files = StateFiles.open();
  if (files === undefined) {
    log?.("idle prefixes", { budgetMiB: 0, reason: "this system has no file system in memory" });
    return undefined;
  }
  log?.("idle prefixes", { budgetMiB: Math.floor(budgetBytes() / MIB) });
  const idle = new IdlePrefixes({ context, files, budgetBytes, bytesPerToken, log });
  try {
    const tokens = pinShippedPrefix(idle, files, place);
    if (tokens > 0) log?.("pinned prefix", { tokens });
  } catch (error) {
    // It would only have saved time.
    log?.("pinned prefix refused", { reason: (error as Error).message });
  }
  return idle;
}

function chooseContextLength(wanted: number | undefined, header: GgufHeader): number {
  const trained = header.contextLength ?? DEFAULT_CONTEXT_LENGTH;
  if (wanted === undefined) return Math.min(trained, DEFAULT_CONTEXT_LENGTH);
  if (wanted > trained) {
    throw new CodedError(
      "config_invalid",
      `a context length of ${wanted} tokens was asked for, but the model was trained for ${trained}; ask for at most that`,
    );
  }
  return wanted;
}

async function describe(
  options: EngineOptions,
  header: GgufHeader,
  model: NativeModel,
  vocabulary: Vocabulary,
  contextLength: number,
): Promise<Omit<ModelCard, "chatTemplate" | "hasInfill" | "canRank" | "bosToken" | "eosToken">> {
  const { mtimeMs } = await stat(options.modelPath);
  const bytes = model.getTotalSize();
  const identity = [options.modelId, bytes, header.parameterCount, header.quantization, contextLength].join("|");
  return {
    id: options.modelId,
    aliases: options.aliases,
    createdAt: Math.floor(mtimeMs / 1000),
    contextLength,
    trainedContextLength: model.getTrainContextSize(),
    vocabularySize: vocabulary.size,
    vocabularyType: vocabulary.type,
    embeddingLength: model.getEmbeddingVectorSize(),
    parameters: model.getTotalParameters(),
    bytes,
    quantization: header.quantization,
    fileName: basename(options.modelPath),
    fingerprint: `fp_${createHash("sha256").update(identity).digest("hex").slice(0, 10)}`,
  };
}
