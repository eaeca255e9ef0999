/**
 * The one file that imports node-llama-cpp. It opens the library through the public `getLlama`, then works on the
 * addon's own classes: they give own batches (many sequences and bounded prompt chunks in one pass), which the public
 * API does not, and open a model in a third of the time. The d.ts files hide them, so the package's exact version is
 * pinned and test/src/engine/native.test.ts guards the surface below (docs/decisions/0003-native-batches.md).
 */
import { CodedError } from "../domain/errors.ts";

export type Token = number;

export interface NativeModel {
  init(): Promise<boolean>;
  dispose(): Promise<void>;
  /** User-defined tokens are parsed either way; `special` adds the control tokens. */
  tokenize(text: string, special: boolean): Uint32Array;
  detokenize(tokens: Uint32Array, special?: boolean): string;
  getTokenString(token: Token): string;
  /** A bit set: see TOKEN_UNKNOWN and its neighbours. */
  getTokenAttributes(token: Token): number;
  isEogToken(token: Token): boolean;
  tokenBos(): Token;
  tokenEos(): Token;
  shouldPrependBosToken(): boolean;
  getTrainContextSize(): number;
  getEmbeddingVectorSize(): number;
  getTotalParameters(): number;
  getTotalSize(): number;
  getVocabularyType(): number;
}

export interface NativeContext {
  init(): Promise<boolean>;
  dispose(): Promise<void>;
  initBatch(tokens: number): void;
  /** Adds tokens at `position` of a sequence; returns one row number for each index in `withLogits`. */
  addToBatch(sequence: number, position: number, tokens: Uint32Array, withLogits: Uint32Array): Uint32Array;
  decodeBatch(): Promise<void>;
  /** Draws from a row of the last decoded batch, and tells the sampler which token it was. */
  sampleToken(row: number, sampler: NativeSampler): Promise<Token>;
  /** False where the model's memory cannot be cut (recurrent models). */
  removeTokenCellsFromSequence(sequence: number, from: number, to: number): boolean;
  disposeSequence(sequence: number): void;
  copySequenceStateFromOtherSequence(target: number, source: number): Promise<number>;
}

export interface NativeSamplerConfig {
  temperature: number;
  topK?: number;
  topP?: number;
  minP?: number;
  seed: number;
  repeatPenalty?: number;
  repeatPenaltyMaxTokens?: number;
  repeatPenaltyTokens?: Uint32Array;
  repeatPenaltyPresencePenalty?: number;
  repeatPenaltyFrequencyPenalty?: number;
}

export interface NativeSampler {
  /** A key that is absent takes its sampler out of the chain. */
  applyConfig(config: NativeSamplerConfig): void;
  dispose(): void;
}

export interface NativeRenderer {
  render(variables: Readonly<Record<string, unknown>>): string;
}

interface Bindings {
  AddonModel: new (path: string, options: Readonly<Record<string, unknown>>) => NativeModel;
  AddonContext: new (model: NativeModel, options: Readonly<Record<string, unknown>>) => NativeContext;
  AddonSampler: new (model: NativeModel) => NativeSampler;
  AddonJinjaRenderer: new (template: string) => NativeRenderer;
}

export interface Native {
  openModel(path: string): Promise<NativeModel>;
  openContext(model: NativeModel, options: ContextOptions): Promise<NativeContext>;
  createSampler(model: NativeModel, config: NativeSamplerConfig): NativeSampler;
  createRenderer(template: string): NativeRenderer;
  close(): Promise<void>;
}

export interface ContextOptions {
  /** Tokens of all sequences together. */
  readonly cells: number;
  readonly sequences: number;
  readonly threads: number;
  /** Most tokens of one batch. */
  readonly batchTokens: number;
}

// Bits of a token's attributes. Source: llama.cpp, include/llama.h, enum llama_token_attr.
export const TOKEN_UNKNOWN = 1;
export const TOKEN_CONTROL = 8;
export const TOKEN_USER_DEFINED = 16;

/** llama.cpp's vocabulary kinds by number. Source: llama.cpp, include/llama.h, enum llama_vocab_type. */
export const VOCABULARY_TYPES = ["none", "spm", "bpe", "wpm", "ugm", "rwkv", "plamo2"] as const;

/** Errors: `model_load_failed` where no backend fits this machine, or the pinned package is not the installed one. */
export async function openNative(threads: number): Promise<Native> {
  const { getLlama } = await import("node-llama-cpp");
  const llama = await getLlama({
    gpu: false,
    build: "never",
    skipDownload: true,
    progressLogs: false,
    maxThreads: threads,
    // llama.cpp writes its own lines; our log is JSON, and a model that does not load says so by failing.
    logger: () => {},
  }).catch((cause: unknown) => {
    throw new CodedError("model_load_failed", `llama.cpp does not run on this machine: ${messageOf(cause)}`, { cause });
  });
  const bindings = (llama as unknown as { _bindings?: Partial<Bindings> })._bindings;
  if (!hasSurface(bindings)) {
    throw new CodedError("model_load_failed", "the installed node-llama-cpp is not the pinned one; run npm ci");
  }
  return {
    async openModel(path) {
      const model = new bindings.AddonModel(path, { addonExports: bindings, gpuLayers: 0, useMmap: true });
      if (!(await model.init())) throw new CodedError("model_load_failed", "llama.cpp could not load the model");
      return model;
    },
    async openContext(model, { cells, sequences, threads: count, batchTokens }) {
      const context = new bindings.AddonContext(model, {
        contextSize: cells,
        batchSize: batchTokens,
        sequences,
        threads: count,
        flashAttention: "auto",
        // Sliding-window models keep their whole state, else it could not be cut for reuse.
        swaFullCache: true,
      });
      if (!(await context.init())) {
        throw new CodedError("model_load_failed", "there is not enough memory for the context; give it fewer tokens");
      }
      return context;
    },
    createSampler(model, config) {
      const sampler = new bindings.AddonSampler(model);
      sampler.applyConfig(config);
      return sampler;
    },
    createRenderer: (template) => new bindings.AddonJinjaRenderer(template),
    close: () => llama.dispose(),
  };
}

function hasSurface(bindings: Partial<Bindings> | undefined): bindings is Bindings {
  const methods: Record<keyof Bindings, readonly string[]> = {
    AddonModel: ["tokenize", "detokenize", "getTokenAttributes", "getTokenString", "isEogToken", "init", "dispose"],
    AddonContext: ["initBatch", "addToBatch", "decodeBatch", "sampleToken", "removeTokenCellsFromSequence"],
    AddonSampler: ["applyConfig", "dispose"],
    AddonJinjaRenderer: ["render"],
  };
  return Object.entries(methods).every(([name, members]) => {
    const prototype = (bindings?.[name as keyof Bindings] as { prototype?: object } | undefined)?.prototype;
    return prototype !== undefined && members.every((member) => member in prototype);
  });
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
