/**
 * The one file that touches what node-llama-cpp does not promise to keep; public-native.ts does the same with what it
 * exports. It takes the package's compiled addon and works on the addon's own classes: they give own batches (many
 * sequences and bounded prompt pieces in one pass), which the public API does not, and open in 20 ms instead of 600
 * (docs/decisions/0003-native-batches.md). Nobody promises these classes to stay as they are, so the version is pinned
 * exactly and checked here, and test/src/engine runs real inference over all of them.
 */
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { CodedError } from "../domain/errors.ts";

/** As in package.json. */
export const NODE_LLAMA_CPP_VERSION = "3.22.1";

/** The packages in which npm brings the addon, by platform and processor; also the folder inside. */
const BACKENDS: Readonly<Record<string, string>> = {
  "linux-x64": "linux-x64",
  "linux-arm64": "linux-arm64",
  "darwin-arm64": "mac-arm64-metal",
  "darwin-x64": "mac-x64",
  "win32-x64": "win-x64",
  "win32-arm64": "win-arm64",
};

/** Without fused operations and vectors of different widths. Every x86-64 processor since 2011 runs it. */
const PORTABLE_BACKEND = "libggml-cpu-sse42.so";

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
  sepToken(): Token;
  shouldPrependBosToken(): boolean;
  shouldAppendEosToken(): boolean;
  /** The fill-in-the-middle tokens; -1 where the model has none. */
  prefixToken(): Token;
  suffixToken(): Token;
  middleToken(): Token;
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
  /**
   * The same, and what the chain left: pairs of token and logit in falling order, or of the tokens that a filter names;
   * and the sum of the candidates' weights relative to the best.
   */
  sampleToken(
    row: number,
    sampler: NativeSampler,
    probabilities: false,
    confidence: false,
    logits: boolean | LogitFilter,
    totalWeight?: boolean,
  ): Promise<SampleReport>;
  /** Of a context for embeddings: what pooling made of sequence 0's part of the last batch. `tokens` is not looked at. */
  getEmbedding(tokens: number): Float64Array;
  /** False where the model's memory cannot be cut (recurrent models). */
  removeTokenCellsFromSequence(sequence: number, from: number, to: number): boolean;
  disposeSequence(sequence: number): void;
  copySequenceStateFromOtherSequence(target: number, source: number): Promise<number>;
  /** Writes what a sequence holds; `tokens` go into the file as they are. Returns the file's bytes. */
  saveSequenceStateToFile(path: string, sequence: number, tokens: Uint32Array): Promise<number>;
  /**
   * Replaces what a sequence holds by a saved state; returns the file's tokens, of which it may have at most `mostTokens`
   * (0 would load nothing). Rejects where the state is of another model, of a context with another number of sequences,
   * or cut off; the sequence may hold a part of it then. Not safe against a file that anybody could have written.
   */
  loadSequenceStateFromFile(path: string, sequence: number, mostTokens: number): Promise<Uint32Array>;
}

/** Tokens whose logits to return; the largest and the smallest; the sampled one's; most of the list's beginning. */
export type LogitFilter = readonly [tokens: readonly Token[], max: false, min: false, selected: boolean, top: 0];

export type SampleReport = readonly [
  token: Token,
  probabilities?: undefined,
  confidence?: undefined,
  logits?: readonly number[],
  totalWeight?: number,
];

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
  xtcProbability?: number;
  xtcThreshold?: number;
  dryRepeatPenaltyStrength?: number;
  dryRepeatPenaltyBase?: number;
  dryRepeatPenaltyAllowedLength?: number;
  dryRepeatPenaltyLastTokens?: number;
  dryRepeatPenaltySequenceBreakers?: readonly string[];
  grammarEvaluationState?: NativeGrammarState;
  tokenBiasKeys?: Uint32Array;
  tokenBiasValues?: Float32Array;
}

/** A compiled grammar; it holds no state. */
export type NativeGrammar = object & { readonly grammar?: never };
/** How far one answer has come in its grammar. */
export type NativeGrammarState = object & { readonly state?: never };

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
  AddonSampler: {
    new (model: NativeModel): NativeSampler;
    canBeNextTokenForGrammarEvaluationState(state: NativeGrammarState, token: Token): boolean;
    acceptGrammarEvaluationStateToken(state: NativeGrammarState, token: Token): void;
  };
  AddonGrammar: new (text: string, options: Readonly<Record<string, unknown>>) => NativeGrammar;
  AddonGrammarEvaluationState: {
    new (model: NativeModel, grammar: NativeGrammar): NativeGrammarState;
    /** A copy. */
    new (state: NativeGrammarState): NativeGrammarState;
  };
  AddonJinjaRenderer: new (template: string) => NativeRenderer;
  setLogger(logger: (level: number, message: string) => void): void;
  setLoggerLogLevel(level: number): void;
  /** Finds the variant of the CPU backend that suits this processor, beside the addon or in a folder. */
  loadBackends(folder?: string): void;
  /** Undefined while no backend is loaded; false is the CPU. */
  getGpuType(): string | false | undefined;
  systemInfo(): string;
  init(): Promise<void>;
  dispose(): Promise<void>;
}

export interface Native {
  /** llama.cpp's names of the instructions in use. Other ones round differently. */
  readonly arithmetic: string;
  /** `onProgress` gets the part of the file that has been read, from 0 to 1. */
  openModel(path: string, overrides?: MetadataOverrides, onProgress?: (part: number) => void): Promise<NativeModel>;
  openContext(model: NativeModel, options: ContextOptions): Promise<NativeContext>;
  createSampler(model: NativeModel, config: NativeSamplerConfig): NativeSampler;
  createRenderer(template: string): NativeRenderer;
  /** Throws for what llama.cpp cannot parse. Not safe against every text: see grammar/gbnf-check.ts. */
  compileGrammar(text: string): NativeGrammar;
  createGrammarState(model: NativeModel, grammar: NativeGrammar): NativeGrammarState;
  copyGrammarState(state: NativeGrammarState): NativeGrammarState;
  grammarAllows(state: NativeGrammarState, token: Token): boolean;
  /** Only for what the grammar allows. End tokens have no place in a state. */
  grammarAccept(state: NativeGrammarState, token: Token): void;
  close(): Promise<void>;
}

/** Whole numbers of a model's metadata that replace those of its file. */
export type MetadataOverrides = Readonly<Record<string, number>>;

export interface ContextOptions {
  /** Tokens of all sequences together. */
  readonly cells: number;
  readonly sequences: number;
  readonly threads: number;
  /** Most tokens of one batch. */
  readonly batchTokens: number;
  /** Gives embeddings instead of tokens to sample. Default false. */
  readonly embeddings?: boolean;
}

// Bits of a token's attributes. Source: llama.cpp, include/llama.h, enum llama_token_attr.
export const TOKEN_UNKNOWN = 1;
export const TOKEN_CONTROL = 8;
export const TOKEN_USER_DEFINED = 16;
/** SentencePiece's tokens for single bytes, written `<0x0A>`. */
export const TOKEN_BYTE = 32;

/** llama.cpp's vocabulary kinds by number. Source: llama.cpp, include/llama.h, enum llama_vocab_type. */
export const VOCABULARY_TYPES = ["none", "spm", "bpe", "wpm", "ugm", "rwkv", "plamo2"] as const;

/** `portable`: what every x86-64 processor of today has, and so the same results on all of them, to the last bit. */
export type Arithmetic = "fastest" | "portable";

/**
 * The first call decides on the arithmetic of the whole process. Errors: `model_load_failed` where no backend fits this
 * machine, or another version is installed; `not_supported` for portable arithmetic on other processors than x86-64.
 */
export async function openNative(arithmetic: Arithmetic = "fastest"): Promise<Native> {
  const bindings = await loadAddon(arithmetic);
  return {
    arithmetic: bindings.systemInfo().trim(),
    async openModel(path, overrides = {}, onProgress) {
      const model = new bindings.AddonModel(path, {
        addonExports: bindings,
        gpuLayers: 0,
        useMmap: true,
        onLoadProgress: onProgress,
        // The last member says that the number is whole.
        overridesList: Object.entries(overrides).map(([key, value]) => [key, value, 0]),
      });
      if (!(await model.init())) throw new CodedError("model_load_failed", "llama.cpp could not load the model");
      return model;
    },
    async openContext(model, { cells, sequences, threads: count, batchTokens, embeddings = false }) {
      const context = new bindings.AddonContext(model, {
        contextSize: cells,
        batchSize: batchTokens,
        sequences,
        threads: count,
        embeddings,
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
    compileGrammar: (text) => new bindings.AddonGrammar(text, { addonExports: bindings, rootRuleName: "root" }),
    createGrammarState: (model, grammar) => new bindings.AddonGrammarEvaluationState(model, grammar),
    copyGrammarState: (state) => new bindings.AddonGrammarEvaluationState(state),
    grammarAccept: (state, token) => bindings.AddonSampler.acceptGrammarEvaluationStateToken(state, token),
    grammarAllows: (state, token) => bindings.AddonSampler.canBeNextTokenForGrammarEvaluationState(state, token),
    close: () => bindings.dispose(),
  };
}

async function loadAddon(arithmetic: Arithmetic): Promise<Bindings> {
  const machine = `${process.platform}-${process.arch}`;
  const backend = BACKENDS[machine];
  if (backend === undefined) {
    throw new CodedError("model_load_failed", `node-llama-cpp has no prebuilt backend for ${machine}`);
  }
  if (arithmetic === "portable" && backend !== "linux-x64") {
    throw new CodedError(
      "not_supported",
      `portable arithmetic is that of x86-64 processors under Linux, not ${machine}`,
    );
  }
  const { binsDir, packageVersion } = await findBackend(backend);
  requireVersion(packageVersion);
  try {
    const folder = join(binsDir, backend);
    const bindings = createRequire(import.meta.url)(join(folder, "llama-addon.node")) as Bindings;
    // llama.cpp writes its own lines; our log is JSON, and a model that does not load says so by failing.
    bindings.setLogger(() => {});
    bindings.setLoggerLogLevel(0);
    bindings.loadBackends();
    if (bindings.getGpuType() === undefined) {
      if (arithmetic === "portable") loadPortable(bindings, folder);
      else bindings.loadBackends(folder);
    }
    await bindings.init();
    return bindings;
  } catch (cause) {
    // Such as a C library older than the backend was built for.
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CodedError("model_load_failed", `llama.cpp does not run on this machine: ${reason}`, { cause });
  }
}

/** Errors: `model_load_failed` for another version than the one whose classes are declared here. */
export function requireVersion(version: string): void {
  if (version === NODE_LLAMA_CPP_VERSION) return;
  throw new CodedError(
    "model_load_failed",
    `node-llama-cpp ${version} is installed, ${NODE_LLAMA_CPP_VERSION} is needed; run npm ci. ` +
      "With PINFERENCE_BINDINGS=public any 3.x version runs, slower and without grammars",
  );
}

/** llama.cpp takes the fastest of a folder that runs here: of a folder with one, that one. */
function loadPortable(bindings: Bindings, folder: string): void {
  const only = mkdtempSync(join(tmpdir(), "pinference-backend-"));
  try {
    symlinkSync(join(folder, PORTABLE_BACKEND), join(only, PORTABLE_BACKEND));
    bindings.loadBackends(only);
  } finally {
    rmSync(only, { recursive: true });
  }
}

async function findBackend(backend: string): Promise<{ binsDir: string; packageVersion: string }> {
  try {
    const module = (await import(`@node-llama-cpp/${backend}`)) as {
      getBinsDir(): { binsDir: string; packageVersion: string };
    };
    return module.getBinsDir();
  } catch (cause) {
    throw new CodedError("model_load_failed", `@node-llama-cpp/${backend} is not installed; run npm ci`, { cause });
  }
}
