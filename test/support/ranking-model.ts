import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Engine } from "../../src/domain/engine.ts";
import { startEngine, type EngineOptions } from "../../src/engine/load.ts";
import { makeGguf, u32, u64, type GgufValue } from "./gguf-maker.ts";

const WIDTH = 32;
const FEED_FORWARD = 64;
const BLOCKS = 2;
const HEADS = 2;
const CONTEXT = 256;
/** llama.cpp's number of pooling by a head. */
const RANK = 4;

type Metadata = (readonly [string, GgufValue])[];
interface Tensor {
  readonly name: string;
  readonly dimensions: readonly bigint[];
}

/** Models of random weights whose head ranks documents: an encoder, and a decoder with a template and two labels. */
export type RankingKind = "bert" | "qwen3";

/** `head: false`: says that it ranks, and has nothing to do it with. */
export function makeRankingModel(
  kind: RankingKind,
  { head = true }: { readonly head?: boolean } = {},
): { readonly path: string; remove(): void } {
  const [metadata, tensors] = kind === "bert" ? bert() : qwen3();
  const kept = tensors.filter(({ name }) => head || !name.startsWith("cls"));
  const folder = mkdtempSync(join(tmpdir(), `pinference-${kind}-`));
  const path = join(folder, `${kind}.gguf`);
  writeFileSync(path, withRandomWeights(makeGguf({ metadata, tensors: kept }), kept));
  return { path, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

const matrix = (name: string, columns: number, rows: number): Tensor => ({
  name,
  dimensions: [BigInt(columns), BigInt(rows)],
});
const vector = (name: string, size: number): Tensor => ({ name, dimensions: [BigInt(size)] });

function shapeOf(architecture: RankingKind): Metadata {
  const of = (key: string, value: GgufValue) => [`${architecture}.${key}`, value] as const;
  return [
    ["general.architecture", { text: architecture }],
    of("context_length", { u32: CONTEXT }),
    of("embedding_length", { u32: WIDTH }),
    of("block_count", { u32: BLOCKS }),
    of("feed_forward_length", { u32: FEED_FORWARD }),
    of("attention.head_count", { u32: HEADS }),
    of("attention.head_count_kv", { u32: HEADS }),
    of("pooling_type", { u32: RANK }),
  ];
}

function bert(): [Metadata, Tensor[]] {
  const words = "the a fox is red what capital of france paris . ?".split(" ").map((word) => `\u2581${word}`);
  const letters = Array.from("abcdefghijklmnopqrstuvwxyz").flatMap((letter) => [`\u2581${letter}`, letter]);
  const tokens = [...new Set(["[PAD]", "[UNK]", "[CLS]", "[SEP]", ...words, ...letters])];
  const [UNKNOWN, CLS, SEP] = [1, 2, 3];
  const metadata: Metadata = [
    ...shapeOf("bert"),
    ["bert.attention.layer_norm_epsilon", { f32: 1e-6 }],
    ["bert.attention.causal", { bool: false }],
    ["tokenizer.ggml.model", { text: "bert" }],
    ["tokenizer.ggml.tokens", { texts: tokens }],
    ["tokenizer.ggml.token_type", kinds(tokens.map((_, id) => id <= SEP))],
    ["tokenizer.ggml.token_type_count", { u32: 2 }],
    ["tokenizer.ggml.unknown_token_id", { u32: UNKNOWN }],
    ["tokenizer.ggml.bos_token_id", { u32: CLS }],
    ["tokenizer.ggml.cls_token_id", { u32: CLS }],
    ["tokenizer.ggml.seperator_token_id", { u32: SEP }],
    ["tokenizer.ggml.padding_token_id", { u32: 0 }],
  ];
  const norm = (name: string) => [vector(`${name}.weight`, WIDTH), vector(`${name}.bias`, WIDTH)];
  const linear = (name: string, columns: number, rows: number) => [
    matrix(`${name}.weight`, columns, rows),
    vector(`${name}.bias`, rows),
  ];
  const blocks = Array.from({ length: BLOCKS }, (_, index) => {
    const at = (name: string) => `blk.${index}.${name}`;
    return [
      ...["attn_q", "attn_k", "attn_v", "attn_output"].flatMap((name) => linear(at(name), WIDTH, WIDTH)),
      ...norm(at("attn_output_norm")),
      ...linear(at("ffn_up"), WIDTH, FEED_FORWARD),
      ...linear(at("ffn_down"), FEED_FORWARD, WIDTH),
      ...norm(at("layer_output_norm")),
    ];
  });
  const tensors = [
    matrix("token_embd.weight", WIDTH, tokens.length),
    matrix("token_types.weight", WIDTH, 2),
    matrix("position_embd.weight", WIDTH, CONTEXT),
    ...norm("token_embd_norm"),
    ...blocks.flat(),
    ...linear("cls", WIDTH, WIDTH),
    ...linear("cls.output", WIDTH, 1),
  ];
  return [metadata, tensors];
}

function qwen3(): [Metadata, Tensor[]] {
  const control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
  const tokens = [...byteTokens(), ...control];
  const metadata: Metadata = [
    ...shapeOf("qwen3"),
    ["qwen3.attention.layer_norm_rms_epsilon", { f32: 1e-6 }],
    ["qwen3.attention.key_length", { u32: WIDTH / HEADS }],
    ["qwen3.attention.value_length", { u32: WIDTH / HEADS }],
    ["qwen3.rope.freq_base", { f32: 10_000 }],
    ["qwen3.classifier.output_labels", { texts: ["yes", "no"] }],
    ["tokenizer.ggml.model", { text: "gpt2" }],
    ["tokenizer.ggml.pre", { text: "qwen2" }],
    ["tokenizer.ggml.tokens", { texts: tokens }],
    ["tokenizer.ggml.token_type", kinds(tokens.map((_, id) => id >= 256))],
    // No pair of bytes is one token.
    ["tokenizer.ggml.merges", { texts: ["\u0120 \u0120"] }],
    ["tokenizer.ggml.eos_token_id", { u32: 258 }],
    ["tokenizer.ggml.padding_token_id", { u32: 256 }],
    [
      "tokenizer.chat_template.rerank",
      { text: "<|im_start|>user\nQ: {query}\nD: {document}<|im_end|>\n<|im_start|>assistant\n" },
    ],
  ];
  const blocks = Array.from({ length: BLOCKS }, (_, index) => {
    const at = (name: string) => `blk.${index}.${name}.weight`;
    return [
      vector(at("attn_norm"), WIDTH),
      ...["attn_q", "attn_k", "attn_v", "attn_output"].map((name) => matrix(at(name), WIDTH, WIDTH)),
      vector(at("attn_q_norm"), WIDTH / HEADS),
      vector(at("attn_k_norm"), WIDTH / HEADS),
      vector(at("ffn_norm"), WIDTH),
      matrix(at("ffn_gate"), WIDTH, FEED_FORWARD),
      matrix(at("ffn_up"), WIDTH, FEED_FORWARD),
      matrix(at("ffn_down"), FEED_FORWARD, WIDTH),
    ];
  });
  const tensors = [
    matrix("token_embd.weight", WIDTH, tokens.length),
    ...blocks.flat(),
    vector("output_norm.weight", WIDTH),
    matrix("cls.output.weight", WIDTH, 2),
  ];
  return [metadata, tensors];
}

/** llama.cpp's kinds of tokens, as signed numbers: 3 is a control token, 1 any other. */
function kinds(isControl: readonly boolean[]): GgufValue {
  const [ARRAY, INT32] = [9, 5];
  const items = isControl.map((is) => u32(is ? 3 : 1));
  return { type: ARRAY, raw: Buffer.concat([u32(INT32), u64(BigInt(items.length)), ...items]) };
}

/** The letters that stand for bytes in vocabularies like GPT-2's. */
function byteTokens(): string[] {
  const isPlain = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  let other = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isPlain(byte) ? byte : other++));
}

/** Norms are ones, biases small, all else has a deviation of about 0.3; always the same. */
function withRandomWeights(file: Buffer, tensors: readonly Tensor[]): Buffer {
  const sizes = tensors.map(({ dimensions }) => Number(dimensions.reduce((product, size) => product * size, 1n)));
  const bytes = sizes.map((size) => Math.ceil((size * 4) / 32) * 32);
  let at = file.length - (bytes.reduce((sum, size) => sum + size, 0) - (bytes.at(-1)! - sizes.at(-1)! * 4));
  let state = 0x9e37_79b9;
  const random = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state | 0) / 2 ** 31;
  };
  tensors.forEach(({ name }, index) => {
    for (let item = 0; item < sizes[index]!; item++) {
      const value = name.endsWith("norm.weight") ? 1 : random() * (name.endsWith("bias") ? 0.1 : 0.5);
      file.writeFloatLE(value, at + item * 4);
    }
    at += bytes[index]!;
  });
  return file;
}

/** The real engine with such a model, ready. */
export async function startRanker(modelPath: string, bindings?: EngineOptions["bindings"]): Promise<Engine> {
  const engine = startEngine({
    modelPath,
    modelId: "ranker",
    aliases: [],
    contextLength: undefined,
    slots: 1,
    queueLength: 4,
    threads: 1,
    ...(bindings && { bindings }),
  });
  await engine.ready;
  return engine;
}
