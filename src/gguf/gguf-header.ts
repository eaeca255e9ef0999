/**
 * Reads the header of a GGUF file: what a model is, and whether the file is whole. A header is hostile input: every
 * count, length and offset is checked against a named limit and the file's size before it is used.
 * Left out: tensor data, tokens and merges, big-endian files, version 1.
 * Source: ggml, docs/gguf.md; llama.cpp, ggml/src/gguf.cpp.
 */
import { closeSync, fstatSync, openSync, statSync } from "node:fs";
import { basename } from "node:path";

import { CodedError } from "../domain/errors.ts";
import { fileTypeName } from "./ggml-types.ts";
import { readMetadata, type Metadata } from "./gguf-metadata.ts";
import { readTensors, roundUp, type TensorPlace } from "./gguf-tensors.ts";
import { HeaderCursor, invalidModel, printable, type OpenFile } from "./header-cursor.ts";

/** The format's default; real files use no other. */
const DEFAULT_ALIGNMENT = 32;
/** Far above any page size. */
const MAX_ALIGNMENT = 1024 * 1024;
/** Counts of layers, heads, context and the like; the longest context of a real model has 10,485,760 tokens. */
const MAX_MODEL_NUMBER = 2 ** 31 - 1;
/** The deepest real models have under 200 layers. */
const MAX_BLOCK_COUNT = 1024;

export interface GgufHeader {
  readonly version: 2 | 3;
  /** Such as `qwen3`; undefined in the second and later shards of a split model. */
  readonly architecture: string | undefined;
  readonly name: string | undefined;
  /** As the file has it, mostly in SPDX's spelling. */
  readonly licence: string | undefined;
  /** Such as `Q4_K_M`: from `general.file_type`, else the type of most weights. */
  readonly quantization: string;
  /** Tokens that the model was trained for. */
  readonly contextLength: number | undefined;
  readonly embeddingLength: number | undefined;
  readonly blockCount: number | undefined;
  /** Of the layer that has most. */
  readonly headCount: number | undefined;
  readonly headCountKv: number | undefined;
  /** Sum over all layers, which some architectures make unequal. */
  readonly kvHeadsOfAllLayers: number | undefined;
  /** Numbers that one head keeps for each token. */
  readonly keyLength: number | undefined;
  readonly valueLength: number | undefined;
  readonly vocabularySize: number | undefined;
  /** How vectors of tokens become one: llama.cpp's number. Source: llama.cpp, include/llama.h, enum llama_pooling_type. */
  readonly poolingType: number | undefined;
  /** Of a model whose head scores how well a document answers a query; undefined for all others. */
  readonly ranking: RankingFacts | undefined;
  /** False where each token sees the ones after it too, as in embedding models. */
  readonly isCausal: boolean;
  readonly parameterCount: number;
  readonly hasChatTemplate: boolean;
  /** Undefined when there is none, or one of more than MAX_KEPT_STRING_BYTES. */
  readonly chatTemplate: string | undefined;
  readonly tensorCount: number;
  readonly alignment: number;
  /** Where tensor data begin, from the file's beginning. */
  readonly dataOffset: number;
  /** What the file must have to hold all its tensors. It may have more. */
  readonly requiredFileBytes: number;
  readonly fileBytes: number;
  /** Of a model split into shards, counted from 0. */
  readonly splitNo: number | undefined;
  readonly splitCount: number | undefined;
}

/** How a query and a document become one text. */
export interface RankingFacts {
  /** With `{query}` and `{document}` in it; undefined where the two stand in a row. */
  readonly template: string | undefined;
  /** Whether the model's separator stands between them. */
  readonly addsSeparator: boolean;
}

/** llama.cpp's number of pooling by a head. */
const RANK = 4;
/** Tokenizers that add a separator unless a file says otherwise. Source: llama.cpp, src/llama-vocab.cpp. */
const SEPARATING = new Set(["bert", "jina-v1-en", "jina-v2-code", "roberta-bpe"]);

/**
 * Reads and checks a model file's header. It reads in steps of 1 MiB, synchronously: about 6 MiB for 152k tokens.
 * Errors: `model_file_missing`; `model_file_invalid` when it is not a GGUF file, damaged, or cut short.
 */
export function readGgufHeader(path: string): GgufHeader {
  return readGgufLayout(path).header;
}

/** What a header says, and where its parts lie, in bytes from the file's beginning. */
export interface GgufLayout {
  readonly header: GgufHeader;
  readonly metadataCount: number;
  readonly metadataStart: number;
  readonly metadataEnd: number;
  readonly tensors: readonly TensorPlace[];
}

/** As readGgufHeader. */
export function readGgufLayout(path: string): GgufLayout {
  const file = openModelFile(path);
  try {
    return readOpenFile(file);
  } finally {
    closeSync(file.fd);
  }
}

function openModelFile(path: string): OpenFile {
  const name = printable(basename(path));
  try {
    // Before opening: a pipe would block.
    const found = statSync(path);
    if (found.isDirectory()) throw invalidModel({ name }, "is a directory. Name the .gguf file inside it.");
    if (!found.isFile()) throw invalidModel({ name }, "is not a regular file.");
    const fd = openSync(path, "r");
    return { fd, name, bytes: fstatSync(fd).size };
  } catch (error) {
    if (error instanceof CodedError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") {
      throw new CodedError("model_file_missing", `there is no model file at ${printable(path, 1000)}.`, {
        cause: error,
      });
    }
    const reason = code === "EACCES" || code === "EPERM" ? "you have no permission to read it" : String(code);
    throw new CodedError("model_file_missing", `${printable(path, 1000)} cannot be read: ${reason}.`, { cause: error });
  }
}

function readOpenFile(file: OpenFile): GgufLayout {
  const cursor = new HeaderCursor(file);
  const version = readVersion(cursor);
  const tensorCount = cursor.u64();
  const metadataCount = cursor.u64();
  const metadataStart = cursor.position;
  const metadata = readMetadata(cursor, metadataCount);
  const metadataEnd = cursor.position;

  const facts = factsOf(metadata, file);
  const alignment = facts.number("general.alignment", MAX_ALIGNMENT) ?? DEFAULT_ALIGNMENT;
  if (alignment === 0 || !Number.isInteger(Math.log2(alignment))) {
    throw invalidModel(file, `is damaged: its alignment of ${alignment} is no power of two.`);
  }
  const tensors = readTensors(cursor, tensorCount, alignment);
  const dataOffset = roundUp(cursor.position, alignment);
  const requiredFileBytes = dataOffset + tensors.dataBytes;
  if (requiredFileBytes > file.bytes) {
    throw invalidModel(
      file,
      `is cut short: its header announces ${requiredFileBytes.toLocaleString("en-US")} bytes, ` +
        `the file has ${file.bytes.toLocaleString("en-US")}. Download it again.`,
    );
  }
  const header: GgufHeader = {
    version,
    ...describe(facts, metadata, file),
    ranking: rankingOf(metadata, tensors.places),
    quantization: fileTypeName(facts.number("general.file_type") ?? -1) ?? tensors.mainType ?? "unknown",
    parameterCount: tensors.parameters,
    tensorCount: tensors.count,
    alignment,
    dataOffset,
    requiredFileBytes,
    fileBytes: file.bytes,
  };
  return { header, metadataCount, metadataStart, metadataEnd, tensors: tensors.places };
}

/** Leaves the cursor behind the version. */
function readVersion(cursor: HeaderCursor): 2 | 3 {
  const { file } = cursor;
  if (file.bytes === 0) throw invalidModel(file, "is empty. Download it again.");
  if (file.bytes < 8) throw invalidModel(file, `is not a GGUF file (it has only ${file.bytes} bytes).`);
  const beginning = cursor.peekText(8);
  if (!beginning.startsWith("GGUF")) throw notGguf(file, beginning);
  cursor.skip(4);
  const version = cursor.u32();
  if (version === 2 || version === 3) return version;
  if (version !== 0 && version % 65_536 === 0) {
    throw invalidModel(file, "is a big-endian GGUF file. Get the little-endian one, which is the usual kind.");
  }
  if (version === 1) {
    throw invalidModel(file, "has version 1 of the GGUF format, of August 2023. Get a newer conversion of this model.");
  }
  throw invalidModel(file, `has version ${version} of the GGUF format; versions 2 and 3 are known here.`);
}

function notGguf(file: OpenFile, beginning: string): Error {
  const shown = `it begins with "${printable(beginning.replaceAll("\uFFFD", "?"))}"`;
  if (beginning.startsWith("version ")) {
    return invalidModel(file, `is not a GGUF file (${shown}): it may be a Git LFS pointer. Download the file itself.`);
  }
  if (/^\s*<(!doc|html|\?xml)/i.test(beginning)) {
    return invalidModel(file, `is not a GGUF file (${shown}): it is a web page. Download the file itself.`);
  }
  return invalidModel(file, `is not a GGUF file (${shown}).`);
}

interface Facts {
  /** A whole number from 0 to `most`. Refuses other values under this key. */
  number(key: string, most?: number): number | undefined;
  /** The same, or one for each layer. */
  numbers(key: string): readonly number[] | undefined;
  /** For people: without control characters, cut at 200 characters. */
  label(key: string): string | undefined;
}

function factsOf(metadata: Metadata, file: OpenFile): Facts {
  const whole = (key: string, value: number | boolean, most: number): number => {
    if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= most) return value;
    throw invalidModel(file, `is damaged: its "${printable(key)}" is ${value}, not a whole number up to ${most}.`);
  };
  const refuseOtherType = (key: string): undefined => {
    if (metadata.keys.has(key)) throw invalidModel(file, `is damaged: its "${printable(key)}" has the wrong type.`);
  };
  return {
    number(key, most = MAX_MODEL_NUMBER) {
      const value = metadata.scalars.get(key);
      return value === undefined ? refuseOtherType(key) : whole(key, value, most);
    },
    numbers(key) {
      const values = metadata.arrays.get(key);
      if (values !== undefined) return values.map((value) => whole(key, value, MAX_MODEL_NUMBER));
      const value = this.number(key);
      return value === undefined ? undefined : [value];
    },
    label(key) {
      const text = metadata.strings.get(key);
      return text === undefined ? undefined : printable(text.trim(), 200);
    },
  };
}

type Description = Omit<
  GgufHeader,
  | "version"
  | "ranking"
  | "quantization"
  | "parameterCount"
  | "tensorCount"
  | "alignment"
  | "dataOffset"
  | "requiredFileBytes"
  | "fileBytes"
>;

function describe(facts: Facts, metadata: Metadata, file: OpenFile): Description {
  const splitCount = facts.number("split.count");
  const splitNo = facts.number("split.no");
  const architecture = metadata.strings.get("general.architecture");
  if (architecture === undefined ? (splitNo ?? 0) === 0 : !/^[\w.-]{1,64}$/.test(architecture)) {
    throw invalidModel(file, "does not say which architecture it has (general.architecture). Get another conversion.");
  }
  const of = (key: string) => `${architecture}.${key}`;

  const embeddingLength = facts.number(of("embedding_length"));
  const blockCount = facts.number(of("block_count"), MAX_BLOCK_COUNT);
  const heads = facts.numbers(of("attention.head_count"));
  // Where keys and values have no count of their own, each head has its own pair.
  const kvHeads = facts.numbers(of("attention.head_count_kv")) ?? heads;
  const headCount = heads === undefined ? undefined : Math.max(0, ...heads);
  const headLength =
    embeddingLength === undefined || headCount === undefined || headCount === 0
      ? undefined
      : Math.ceil(embeddingLength / headCount);
  return {
    architecture,
    name: facts.label("general.name"),
    licence: facts.label("general.license"),
    contextLength: facts.number(of("context_length")),
    embeddingLength,
    blockCount,
    headCount,
    headCountKv: kvHeads === undefined ? undefined : Math.max(0, ...kvHeads),
    kvHeadsOfAllLayers: sumOverLayers(kvHeads, blockCount),
    keyLength: facts.number(of("attention.key_length")) ?? headLength,
    valueLength: facts.number(of("attention.value_length")) ?? headLength,
    vocabularySize: metadata.arrayLengths.get("tokenizer.ggml.tokens") ?? facts.number(of("vocab_size")),
    poolingType: facts.number(of("pooling_type")),
    isCausal: metadata.scalars.get(of("attention.causal")) !== false,
    hasChatTemplate: metadata.keys.has("tokenizer.chat_template"),
    chatTemplate: metadata.strings.get("tokenizer.chat_template"),
    splitNo,
    splitCount,
  };
}

/** A model split into shards may have its head in another than the first. */
function rankingOf(metadata: Metadata, tensors: readonly TensorPlace[]): RankingFacts | undefined {
  const pooling = metadata.scalars.get(`${metadata.strings.get("general.architecture")}.pooling_type`);
  const hasHead = metadata.keys.has("split.count") || tensors.some(({ name }) => /^cls\b/.test(name));
  if (pooling !== RANK || !hasHead) return undefined;
  const adds = metadata.scalars.get("tokenizer.ggml.add_sep_token");
  const kinds = ["tokenizer.ggml.model", "tokenizer.ggml.pre"].map((key) => metadata.strings.get(key) ?? "");
  return {
    template: metadata.strings.get("tokenizer.chat_template.rerank"),
    addsSeparator: typeof adds === "boolean" ? adds : kinds.some((kind) => SEPARATING.has(kind)),
  };
}

/** One value stands for all layers. */
function sumOverLayers(values: readonly number[] | undefined, layers: number | undefined): number | undefined {
  if (values === undefined || layers === undefined) return undefined;
  if (values.length === 1) return (values[0] ?? 0) * layers;
  return values.reduce((sum, value) => sum + value, 0);
}
