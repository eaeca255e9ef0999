/**
 * Writes a model with random weights, for benchmarks: speed does not depend on the values. Shapes are those of real
 * models; the tokenizer is the demo model's, filled up with tokens that no text becomes.
 *
 *   node dist/scripts/make-model.js SHAPE FILE      SHAPE: 0.5b, 0.5b-chain, 1b, wide or small, in Q8_0; 7b in Q4_K_M
 */
import { closeSync, openSync, readFileSync, renameSync, statSync, writeSync } from "node:fs";
import { fileURLToPath } from "node:url";

interface Shape {
  readonly width: number;
  readonly feedForward: number;
  readonly blocks: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly vocabulary: number;
  readonly context: number;
  /** Deviation of the logits, relative to what the weights give; default 1. */
  readonly sharpness?: number;
  /** Each token is followed by that of the next number, whatever stood before. */
  readonly isChain?: true;
  /** As llama.cpp mixes types in Q4_K_M, with an output matrix of its own; the header is filled up to so many bytes. */
  readonly mixed?: { readonly headerBytes: number };
}

const HALF: Shape = {
  width: 896,
  feedForward: 4864,
  blocks: 24,
  heads: 14,
  kvHeads: 2,
  vocabulary: 151_936,
  context: 32_768,
};

/**
 * Of Qwen2.5 0.5B, also as a model that says what it is to say, and of Llama 3.2 1B, with Qwen2's vocabulary; one that is nearly all vocabulary; the smallest that is
 * not computed as small models are (engine/load.ts, SMALL_BYTES); and one of the very tensors and size of
 * OpenHermes-2.5-Mistral-7B in Q4_K_M, 4,368,450,304 bytes, no two parts of which are equal.
 */
const SHAPES = {
  "0.5b": HALF,
  "0.5b-chain": { ...HALF, isChain: true },
  "1b": { width: 2048, feedForward: 8192, blocks: 16, heads: 32, kvHeads: 8, vocabulary: 151_936, context: 32_768 },
  wide: {
    width: 64,
    feedForward: 128,
    blocks: 2,
    heads: 2,
    kvHeads: 1,
    vocabulary: 151_936,
    context: 4096,
    sharpness: 16,
  },
  small: {
    width: 256,
    feedForward: 512,
    blocks: 4,
    heads: 4,
    kvHeads: 2,
    vocabulary: 151_936,
    context: 4096,
    sharpness: 8,
  },
  "7b": {
    width: 4096,
    feedForward: 14_336,
    blocks: 32,
    heads: 32,
    kvHeads: 8,
    vocabulary: 32_002,
    context: 32_768,
    mixed: { headerBytes: 734_912 },
  },
} satisfies Readonly<Record<string, Shape>>;

export type ShapeName = keyof typeof SHAPES;

/** As Qwen2.5 spells them. */
const INFILL_TOKENS = [
  "<|fim_prefix|>",
  "<|fim_middle|>",
  "<|fim_suffix|>",
  "<|fim_pad|>",
  "<|repo_name|>",
  "<|file_sep|>",
];

// GGUF: value types and tensor types. Source: ggml, docs/gguf.md.
const UINT32 = 4;
const FLOAT32 = 6;
const STRING = 8;
const ARRAY = 9;
const F32 = 0;
const Q8_0 = 8;
const Q4_K = 12;
const Q6_K = 14;
const ALIGNMENT = 32;

interface BlockType {
  readonly weights: number;
  readonly bytes: number;
  /** Half-precision numbers, by their place, that give random blocks a deviation near 0.02 and no mean. */
  readonly scales: Readonly<Record<number, number>>;
}

const BLOCK_TYPES: Readonly<Record<number, BlockType>> = {
  // A scale and 32 signed bytes. 73 is the deviation of a random one: 73 × 0.00027 is 0.02.
  [Q8_0]: { weights: 32, bytes: 34, scales: { 0: 0x0c6d } },
  // Scale and minimum of all, 8 of each in six bits, 4 bits a weight. 0.0001, and 7.5 times that.
  [Q4_K]: { weights: 256, bytes: 144, scales: { 0: 0x068e, 2: 0x1225 } },
  // 6 bits a weight, 16 signed scales, the scale of all: 0.000015.
  [Q6_K]: { weights: 256, bytes: 210, scales: { 208: 0x00f9 } },
};

const demo = fileURLToPath(new URL("../../deploy/catalogue/demo/aleph-tiny-chat.Q8_0.gguf", import.meta.url));

class Reader {
  readonly #bytes: Buffer;
  at = 0;
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }
  u32(): number {
    this.at += 4;
    return this.#bytes.readUInt32LE(this.at - 4);
  }
  u64(): number {
    this.at += 8;
    return Number(this.#bytes.readBigUInt64LE(this.at - 8));
  }
  text(): string {
    const length = this.u64();
    this.at += length;
    return this.#bytes.toString("utf8", this.at - length, this.at);
  }
  slice(from: number): Buffer {
    return this.#bytes.subarray(from, this.at);
  }
  /** Steps over a value; returns the strings or 32-bit numbers of an array. */
  value(type: number): (string | number)[] {
    if (type === STRING) return [this.text()];
    if (type !== ARRAY) {
      this.at += { 0: 1, 1: 1, 2: 2, 3: 2, 7: 1, 10: 8, 11: 8, 12: 8 }[type] ?? 4;
      return [];
    }
    const itemType = this.u32();
    const count = this.u64();
    return Array.from({ length: count }, () => (itemType === STRING ? this.text() : this.u32()));
  }
}

const u32 = (value: number) => Buffer.from(Uint32Array.of(value).buffer);
const u64 = (value: number) => Buffer.from(BigUint64Array.of(BigInt(value)).buffer);
const text = (value: string) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
const number = (key: string, value: number) => Buffer.concat([text(key), u32(UINT32), u32(value)]);
const float = (key: string, value: number) =>
  Buffer.concat([text(key), u32(FLOAT32), Buffer.from(Float32Array.of(value).buffer)]);
const array = (key: string, type: number, items: readonly Buffer[]) =>
  Buffer.concat([text(key), u32(ARRAY), u32(type), u64(items.length), ...items]);

function metadataOf(name: string, shape: Shape): Buffer[] {
  const file = new Reader(readFileSync(demo));
  file.at = 16;
  const count = file.u64();
  const kept: Buffer[] = [];
  let tokens: string[] = [];
  let types: number[] = [];
  for (let index = 0; index < count; index++) {
    const from = file.at;
    const key = file.text();
    const type = file.u32();
    const items = file.value(type);
    if (key === "tokenizer.ggml.tokens") tokens = items as string[];
    else if (key === "tokenizer.ggml.token_type") types = items as number[];
    else if (key.startsWith("tokenizer.") || key === "general.architecture") kept.push(file.slice(from));
  }
  const NORMAL = 1;
  const CONTROL = 3;
  const word = shape.mixed === undefined ? "unused" : "u";
  const filler = Array.from(
    { length: shape.vocabulary - tokens.length - INFILL_TOKENS.length },
    (_, index) => `\u0120${word}\u0120${index}`,
  );
  const allTypes = [...types, ...filler.map(() => NORMAL), ...INFILL_TOKENS.map(() => CONTROL)];
  return [
    ...kept,
    Buffer.concat([text("general.name"), u32(STRING), text(`random ${name}`)]),
    number("general.file_type", shape.mixed === undefined ? 7 : 15),
    number("llama.context_length", shape.context),
    number("llama.embedding_length", shape.width),
    number("llama.block_count", shape.blocks),
    number("llama.feed_forward_length", shape.feedForward),
    number("llama.attention.head_count", shape.heads),
    number("llama.attention.head_count_kv", shape.kvHeads),
    number("llama.rope.dimension_count", shape.width / shape.heads),
    number("llama.vocab_size", shape.vocabulary),
    float("llama.attention.layer_norm_rms_epsilon", 1e-6),
    float("llama.rope.freq_base", 1_000_000),
    array("tokenizer.ggml.tokens", STRING, [...tokens, ...filler, ...INFILL_TOKENS].map(text)),
    array("tokenizer.ggml.token_type", UINT32 + 1, allTypes.map(u32)),
  ];
}

interface Tensor {
  readonly name: string;
  readonly dimensions: readonly number[];
  readonly type: number;
}

function tensorsOf({ width, feedForward, blocks, heads, kvHeads, vocabulary, mixed, isChain }: Shape): Tensor[] {
  const kvWidth = (width / heads) * kvHeads;
  const usual = mixed === undefined ? Q8_0 : Q4_K;
  const fine = mixed === undefined ? Q8_0 : Q6_K;
  const matrix = (name: string, columns: number, rows: number, type = usual): Tensor => ({
    name,
    dimensions: [columns, rows],
    type,
  });
  const norm = (name: string): Tensor => ({ name, dimensions: [width], type: F32 });
  // Source: llama.cpp, src/llama-quant.cpp, use_more_bits.
  const eighth = Math.floor(blocks / 8);
  const isFine = (index: number) =>
    index < eighth || index >= Math.floor((7 * blocks) / 8) || (index - eighth) % 3 === 2;
  const block = (index: number): Tensor[] => {
    const at = (name: string) => `blk.${index}.${name}.weight`;
    const type = isFine(index) ? fine : usual;
    return [
      norm(at("attn_norm")),
      matrix(at("attn_q"), width, width),
      matrix(at("attn_k"), width, kvWidth),
      matrix(at("attn_v"), width, kvWidth, type),
      matrix(at("attn_output"), width, width),
      norm(at("ffn_norm")),
      matrix(at("ffn_gate"), width, feedForward),
      matrix(at("ffn_up"), width, feedForward),
      matrix(at("ffn_down"), feedForward, width, type),
    ];
  };
  const all = Array.from({ length: blocks }, (_, index) => block(index)).flat();
  const output = mixed === undefined && isChain === undefined ? [] : [matrix("output.weight", width, vocabulary, fine)];
  return [matrix("token_embd.weight", width, vocabulary), ...all, norm("output_norm.weight"), ...output];
}

const weightsOf = (tensor: Tensor) => tensor.dimensions.reduce((product, size) => product * size, 1);
function bytesOf(tensor: Tensor): number {
  const block = BLOCK_TYPES[tensor.type];
  return block === undefined ? weightsOf(tensor) * 4 : (weightsOf(tensor) / block.weights) * block.bytes;
}
const aligned = (offset: number) => Math.ceil(offset / ALIGNMENT) * ALIGNMENT;

/** Blocks of random weights, written again and again. */
function randomBlocks({ bytes, scales }: BlockType): Buffer {
  const blocks = Buffer.alloc(bytes * 30_720);
  let state = 0x9e37_79b9;
  for (let at = 0; at < blocks.length; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    blocks[at] = state & 0xff;
  }
  for (let at = 0; at < blocks.length; at += bytes) {
    for (const [place, scale] of Object.entries(scales)) blocks.writeUInt16LE(scale, at + Number(place));
  }
  return blocks;
}

/** Other quants in some blocks: the network keeps equal parts of a file once, which no real model has. */
function makeUnlike(blocks: Buffer, { bytes }: BlockType, count: number): void {
  for (let at = 8; at < blocks.length; at += bytes * 256) blocks.writeUInt32LE((count * 2_654_435_761) % 2 ** 32, at);
}

export function writeModel(name: ShapeName, path: string): void {
  const shape: Shape = SHAPES[name];
  const tensors = tensorsOf(shape);
  let offset = 0;
  const infos = tensors.map((tensor) => {
    const info = Buffer.concat([
      text(tensor.name),
      u32(tensor.dimensions.length),
      ...tensor.dimensions.map(u64),
      u32(tensor.type),
      u64(offset),
    ]);
    offset = aligned(offset + bytesOf(tensor));
    return info;
  });
  const header = headerOf(metadataOf(name, shape), infos, shape.mixed?.headerBytes);
  const kinds = new Map(Object.entries(BLOCK_TYPES).map(([type, block]) => [Number(type), randomBlocks(block)]));
  let written = 0;
  const part = `${path}.part`;
  const file = openSync(part, "w");
  let at = 0;
  const write = (bytes: Uint8Array) => {
    at += writeSync(file, bytes);
  };
  write(header);
  for (const tensor of tensors) {
    write(Buffer.alloc(aligned(at) - at));
    const scale = normOf(tensor.name, shape);
    const [kind, blocks] = [BLOCK_TYPES[tensor.type], kinds.get(tensor.type)];
    if (kind === undefined || blocks === undefined) {
      write(Buffer.from(new Float32Array(weightsOf(tensor)).fill(scale).buffer));
      continue;
    }
    let left = bytesOf(tensor);
    if (shape.isChain === true && tensor.name === "output.weight") {
      // Each row is what the token before has as its embedding.
      const row = left / shape.vocabulary;
      write(blocks.subarray(0, row));
      left -= row;
    }
    for (; left > 0; left -= blocks.length) {
      if (shape.mixed !== undefined) makeUnlike(blocks, kind, (written += 1));
      write(blocks.subarray(0, Math.min(left, blocks.length)));
    }
  }
  closeSync(file);
  renameSync(part, path);
}

function normOf(name: string, { sharpness = 1, isChain }: Shape): number {
  if (name === "output_norm.weight") return sharpness;
  // What the blocks add is nothing beside the token's embedding then.
  return isChain === true ? 0.001 : 1;
}

/** With a description that fills it up to `wantedBytes`, alignment included, where they are given. */
function headerOf(metadata: readonly Buffer[], infos: readonly Buffer[], wantedBytes: number | undefined): Buffer {
  const concat = (entries: readonly Buffer[]) =>
    Buffer.concat([Buffer.from("GGUF"), u32(3), u64(infos.length), u64(entries.length), ...entries, ...infos]);
  if (wantedBytes === undefined) return concat(metadata);
  const described = (length: number) =>
    concat([...metadata, Buffer.concat([text("general.description"), u32(STRING), text("-".repeat(length))])]);
  const missing = wantedBytes - described(0).length;
  if (missing < 0) throw new Error(`the header has ${-missing} bytes too many`);
  return described(missing);
}

function main([name = "", path = ""]: readonly string[]): void {
  if (!(name in SHAPES) || path === "") {
    console.error(`usage: make-model ${Object.keys(SHAPES).join("|")} FILE`);
    process.exit(2);
  }
  writeModel(name as ShapeName, path);
  console.log(`${path}: ${statSync(path).size} bytes`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main(process.argv.slice(2));
