/** Makes small GGUF files, right or wrong in exactly one respect. */

export type GgufValue =
  | { readonly u32: number }
  | { readonly u64: bigint }
  | { readonly f32: number }
  | { readonly bool: boolean }
  | { readonly text: string }
  | { readonly texts: readonly string[] }
  | { readonly u32s: readonly number[] }
  /** A value type with bytes of the test's own choice. */
  | { readonly type: number; readonly raw: Buffer };

interface GgufTensor {
  readonly name: string;
  readonly dimensions: readonly bigint[];
  /** 0 is F32. */
  readonly type?: number;
  /** Where unset: behind the tensor before it, aligned to 32. Needs F32. */
  readonly offset?: bigint;
}

export interface GgufParts {
  readonly magic?: string;
  readonly version?: number;
  readonly metadata?: readonly (readonly [string, GgufValue])[];
  readonly tensors?: readonly GgufTensor[];
  /** What the header announces, where it shall lie. */
  readonly metadataCount?: bigint;
  readonly tensorCount?: bigint;
  /** Appended as tensor data; by default as much as the tensors need. */
  readonly dataBytes?: number;
}

/** What a model says of itself at least: 2 layers, 4 heads with 2 for keys and values, width 32, context 128. */
export const TINY_METADATA: readonly (readonly [string, GgufValue])[] = [
  ["general.architecture", { text: "llama" }],
  ["general.name", { text: "Tiny" }],
  ["llama.context_length", { u32: 128 }],
  ["llama.embedding_length", { u32: 32 }],
  ["llama.block_count", { u32: 2 }],
  ["llama.attention.head_count", { u32: 4 }],
  ["llama.attention.head_count_kv", { u32: 2 }],
  ["tokenizer.ggml.tokens", { texts: ["a", "b", "c"] }],
];

const TINY_TENSORS: readonly GgufTensor[] = [
  { name: "token_embd.weight", dimensions: [32n, 3n] },
  { name: "output_norm.weight", dimensions: [32n] },
];

export function makeGguf(parts: GgufParts = {}): Buffer {
  const metadata = parts.metadata ?? TINY_METADATA;
  const tensors = parts.tensors ?? TINY_TENSORS;
  let dataEnd = 0n;
  const infos = tensors.map((tensor) => {
    const offset = tensor.offset ?? aligned(dataEnd);
    dataEnd = offset + 4n * tensor.dimensions.reduce((product, size) => product * size, 1n);
    return Buffer.concat([
      text(tensor.name),
      u32(tensor.dimensions.length),
      ...tensor.dimensions.map(u64),
      u32(tensor.type ?? 0),
      u64(offset),
    ]);
  });
  const header = Buffer.concat([
    Buffer.from(parts.magic ?? "GGUF", "latin1"),
    u32(parts.version ?? 3),
    u64(parts.tensorCount ?? BigInt(tensors.length)),
    u64(parts.metadataCount ?? BigInt(metadata.length)),
    ...metadata.map(([key, value]) => Buffer.concat([text(key), valueBytes(value)])),
    ...infos,
  ]);
  const padding = Number(aligned(BigInt(header.length))) - header.length;
  return Buffer.concat([header, Buffer.alloc(padding + (parts.dataBytes ?? Number(dataEnd)))]);
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, value));
  return bytes;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(BigInt(bytes.length)), bytes]);
}

function valueBytes(value: GgufValue): Buffer {
  if ("u32" in value) return Buffer.concat([u32(4), u32(value.u32)]);
  if ("u64" in value) return Buffer.concat([u32(10), u64(value.u64)]);
  if ("bool" in value) return Buffer.concat([u32(7), Buffer.from([value.bool ? 1 : 0])]);
  if ("text" in value) return Buffer.concat([u32(8), text(value.text)]);
  if ("texts" in value) {
    return Buffer.concat([u32(9), u32(8), u64(BigInt(value.texts.length)), ...value.texts.map(text)]);
  }
  if ("u32s" in value) return Buffer.concat([u32(9), u32(4), u64(BigInt(value.u32s.length)), ...value.u32s.map(u32)]);
  if ("f32" in value) {
    const bytes = Buffer.alloc(4);
    bytes.writeFloatLE(value.f32);
    return Buffer.concat([u32(6), bytes]);
  }
  return Buffer.concat([u32(value.type), value.raw]);
}

function aligned(offset: bigint): bigint {
  return ((offset + 31n) / 32n) * 32n;
}
