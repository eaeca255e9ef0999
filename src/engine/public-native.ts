/**
 * Inference on node-llama-cpp's public interface alone, for versions whose addon is not the one that native.ts knows.
 * Slower, and without grammars (docs/decisions/0003-native-batches.md). Not in code volumes, which hold the addon only.
 */
import { Template } from "@huggingface/jinja";
import {
  getLlama,
  getModuleVersion,
  LlamaLogLevel,
  type Llama,
  type LlamaModel,
  type Token as PublicToken,
} from "node-llama-cpp";

import { CodedError } from "../domain/errors.ts";
import {
  TOKEN_BYTE,
  TOKEN_CONTROL,
  TOKEN_UNKNOWN,
  TOKEN_USER_DEFINED,
  VOCABULARY_TYPES,
  type ContextOptions,
  type MetadataOverrides,
  type Native,
  type NativeContext,
  type NativeModel,
  type Token,
} from "./native.ts";
import { PublicContext, PublicEmbeddingContext } from "./public-context.ts";
import { PublicSampler } from "./public-sampler.ts";
import { BreakerCache, findBreakers } from "./samplers/breakers.ts";

const NO_GRAMMARS =
  "Grammars, and so schemas and tools, need node-llama-cpp's addon of the pinned version; " +
  "this server runs on the library's public interface.";

/** Errors: `model_load_failed` where the library does not run here, or is of another major version. */
export async function openPublicNative(): Promise<Native> {
  const llama = await openLibrary();
  return {
    arithmetic: llama.systemInfo.trim(),
    openModel: (path, overrides, onProgress) => openModel(llama, path, overrides, onProgress),
    openContext: (model, options) => openContext((model as PublicModel).library, options),
    createSampler: (model, config) => new PublicSampler(model as PublicModel, config),
    createRenderer: (template) => new Template(template),
    compileGrammar: refuseGrammars,
    createGrammarState: refuseGrammars,
    copyGrammarState: refuseGrammars,
    grammarAllows: refuseGrammars,
    grammarAccept: refuseGrammars,
    close: () => llama.dispose(),
  };
}

function refuseGrammars(): never {
  throw new CodedError("not_supported", NO_GRAMMARS);
}

async function openLibrary(): Promise<Llama> {
  const version = await getModuleVersion();
  if (!version.startsWith("3.")) {
    throw new CodedError("model_load_failed", `node-llama-cpp ${version} is installed, version 3 is needed`);
  }
  try {
    return await getLlama({
      gpu: false,
      build: "never",
      skipDownload: true,
      progressLogs: false,
      logLevel: LlamaLogLevel.disabled,
      // Contexts say how many they take.
      maxThreads: 0,
    });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CodedError("model_load_failed", `llama.cpp does not run on this machine: ${reason}`, { cause });
  }
}

async function openModel(
  llama: Llama,
  path: string,
  overrides: MetadataOverrides = {},
  onProgress: (part: number) => void = () => undefined,
): Promise<NativeModel> {
  try {
    const model = await llama.loadModel({
      modelPath: path,
      gpuLayers: 0,
      useMmap: true,
      ignoreMemorySafetyChecks: true,
      onLoadProgress: onProgress,
      metadataOverrides: nested(overrides),
    });
    return new PublicModel(model);
  } catch (cause) {
    throw new CodedError("model_load_failed", "llama.cpp could not load the model", { cause });
  }
}

/** `{ "a.b": 1 }` → `{ a: { b: 1 } }`. */
function nested(flat: MetadataOverrides): Record<string, unknown> {
  const root: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(flat)) {
    const names = key.split(".");
    let place = root;
    for (const name of names.slice(0, -1)) place = (place[name] ??= {}) as Record<string, unknown>;
    place[names.at(-1)!] = value;
  }
  return root;
}

async function openContext(model: LlamaModel, options: ContextOptions): Promise<NativeContext> {
  const { cells, sequences, threads, batchTokens: batchSize, embeddings = false } = options;
  const common = { batchSize, threads, ignoreMemorySafetyChecks: true };
  try {
    if (embeddings) {
      requirePlainEmbeddings(model);
      // The library wants one token more than the longest text.
      const context = await model.createEmbeddingContext({ ...common, contextSize: cells + 1 });
      return new PublicEmbeddingContext(context);
    }
    const context = await model.createContext({
      ...common,
      contextSize: Math.floor(cells / sequences),
      sequences,
      flashAttention: "auto",
      // Sliding-window models keep their whole state, else it could not be cut for reuse.
      swaFullCache: true,
      failedCreationRemedy: false,
    });
    return new PublicContext(context, vocabularyOf(model).length);
  } catch (cause) {
    if (cause instanceof CodedError) throw cause;
    const message = "there is not enough memory for the context; give it fewer tokens";
    throw new CodedError("model_load_failed", message, { cause });
  }
}

/** Ranking heads and encoders get other results here than from the addon (seen with BERT). */
function requirePlainEmbeddings({ fileInfo: { metadata } }: LlamaModel): void {
  const own = metadata[metadata.general.architecture] as OwnMetadata | undefined;
  if (own?.pooling_type !== RANK && own?.attention?.causal !== false) return;
  throw new CodedError(
    "not_supported",
    "Ranking, and embeddings of encoders, need node-llama-cpp's addon of the pinned version; " +
      "this server runs on the library's public interface.",
  );
}

/** GGUF keys below the architecture's name. */
interface OwnMetadata {
  readonly pooling_type?: number;
  readonly attention?: { readonly causal?: boolean };
}

/** Source: llama.cpp, include/llama.h, enum llama_pooling_type. */
const RANK = 4;

function vocabularyOf({ fileInfo }: LlamaModel): readonly string[] {
  return fileInfo.metadata.tokenizer.ggml.tokens;
}

class PublicModel implements NativeModel {
  readonly library: LlamaModel;
  readonly #texts: readonly string[];
  readonly breakers = new BreakerCache((list) =>
    findBreakers(this.#allTexts(), list, (text) => [...this.tokenize(text, false)]),
  );

  constructor(library: LlamaModel) {
    this.library = library;
    this.#texts = vocabularyOf(library);
  }

  get vocabularySize(): number {
    return this.#texts.length;
  }

  init(): Promise<boolean> {
    return Promise.resolve(true);
  }

  dispose(): Promise<void> {
    return this.library.dispose();
  }

  tokenize(text: string, special: boolean): Uint32Array {
    return Uint32Array.from(this.library.tokenize(text, special));
  }

  detokenize(tokens: Uint32Array, special = false): string {
    return this.library.detokenize([...tokens] as PublicToken[], special);
  }

  getTokenString(token: Token): string {
    return this.#texts[token] ?? "";
  }

  getTokenAttributes(token: Token): number {
    const { unknown, control, userDefined, byte } = this.library.getTokenAttributes(token as PublicToken);
    return (
      (unknown ? TOKEN_UNKNOWN : 0) |
      (control ? TOKEN_CONTROL : 0) |
      (userDefined ? TOKEN_USER_DEFINED : 0) |
      (byte ? TOKEN_BYTE : 0)
    );
  }

  isEogToken(token: Token): boolean {
    return this.library.isEogToken(token as PublicToken);
  }

  tokenBos(): Token {
    return this.library.tokens.bos ?? -1;
  }

  tokenEos(): Token {
    return this.library.tokens.eos ?? -1;
  }

  sepToken(): Token {
    return this.library.tokens.sep ?? -1;
  }

  shouldPrependBosToken(): boolean {
    return this.library.tokens.shouldPrependBosToken;
  }

  shouldAppendEosToken(): boolean {
    return this.library.tokens.shouldAppendEosToken;
  }

  prefixToken(): Token {
    return this.library.tokens.infill.prefix ?? -1;
  }

  suffixToken(): Token {
    return this.library.tokens.infill.suffix ?? -1;
  }

  middleToken(): Token {
    return this.library.tokens.infill.middle ?? -1;
  }

  getTrainContextSize(): number {
    return this.library.trainContextSize;
  }

  getEmbeddingVectorSize(): number {
    return this.library.embeddingVectorSize;
  }

  getTotalParameters(): number {
    const tensors = this.library.fileInfo.fullTensorInfo ?? [];
    return tensors.reduce((sum, { dimensions }) => sum + dimensions.reduce<number>((a, b) => a * Number(b), 1), 0);
  }

  getTotalSize(): number {
    return this.library.size;
  }

  getVocabularyType(): number {
    return (VOCABULARY_TYPES as readonly string[]).indexOf(this.library.vocabularyType);
  }

  #allTexts(): string[] {
    return Array.from(this.#texts.keys(), (token) => this.detokenize(Uint32Array.of(token), true));
  }
}
