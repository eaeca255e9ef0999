/**
 * Splits a model into shards: GGUF files of whole tensors, with the metadata by which llama.cpp finds and joins them.
 * Tensors lie one behind the other, so a shard is a header and one part of the model file; nothing is rewritten.
 * Source: llama.cpp, tools/gguf-split/gguf-split.cpp; src/llama-model-loader.cpp.
 */
import { CodedError } from "../domain/errors.ts";
import type { GgufLayout } from "./gguf-header.ts";
import { roundUp, type TensorPlace } from "./gguf-tensors.ts";

/** A shard: its own header, then `length` bytes of the model file at `from`. */
export interface Shard {
  readonly fileName: string;
  readonly header: Uint8Array;
  readonly from: number;
  readonly length: number;
}

// GGUF's value types.
const UINT16 = 2;
const UINT32 = 4;
const INT32 = 5;
const DEFAULT_ALIGNMENT = 32;
/** llama.cpp's loader counts them in 16 bits, and its file names in five digits. */
const MAX_SHARDS = 65_535;

/**
 * Shards of at most `maxBytes` each, in order. `readRange` gives bytes of the model file.
 * Errors: `model_file_invalid` for a shard, `config_invalid` where a tensor is larger than a shard may be.
 */
export function planShards(
  layout: GgufLayout,
  fileName: string,
  maxBytes: number,
  readRange: (from: number, to: number) => Uint8Array,
): Shard[] {
  const { header } = layout;
  if (header.splitCount !== undefined && header.splitCount > 1) {
    throw new CodedError(
      "model_file_invalid",
      `${fileName} is one shard of a split model already; give the whole model`,
    );
  }
  const metadata = readRange(layout.metadataStart, layout.metadataEnd);
  const headerOf = (places: readonly TensorPlace[], no: number, count: number) =>
    toHeader({ layout, metadata: no === 0 ? metadata : undefined, places, no, count, readRange });
  // The count has a fixed width, so it does not matter that it is not known yet.
  const groups = groupTensors(layout, maxBytes, (places, no) => headerOf(places, no, 1).byteLength, fileName);
  if (groups.length > MAX_SHARDS) throw tooSmall(fileName, maxBytes);
  return groups.map((places, no): Shard => {
    const [first, last] = [places[0], places.at(-1)];
    const start = first?.offset ?? 0;
    return {
      fileName: shardName(fileName, no, groups.length),
      header: headerOf(places, no, groups.length),
      from: header.dataOffset + start,
      length: last === undefined ? 0 : last.offset + last.bytes - start,
    };
  });
}

/** The name under which llama.cpp looks for a shard, `no` counted from 0. */
export function shardName(fileName: string, no: number, count: number): string {
  const digits = (value: number) => String(value).padStart(5, "0");
  return `${fileName.replace(/\.gguf$/i, "")}-${digits(no + 1)}-of-${digits(count)}.gguf`;
}

/** Tensors in order, each group as large as fits. */
function groupTensors(
  { tensors, header: { alignment } }: GgufLayout,
  maxBytes: number,
  headerBytes: (places: readonly TensorPlace[], no: number) => number,
  fileName: string,
): TensorPlace[][] {
  const groups: TensorPlace[][] = [];
  let current: TensorPlace[] = [];
  let infoBytes = 0;
  let base = headerBytes([], 0);
  for (const place of tensors) {
    const info = place.infoEnd - place.infoStart;
    const start = current[0]?.offset ?? place.offset;
    const bytes = roundUp(base + infoBytes + info, alignment) + place.offset + place.bytes - start;
    if (bytes <= maxBytes) {
      current.push(place);
      infoBytes += info;
      continue;
    }
    if (current.length > 0) groups.push(current);
    base = headerBytes([], groups.length);
    if (roundUp(base + info, alignment) + place.bytes > maxBytes) throw tooSmall(fileName, maxBytes);
    [current, infoBytes] = [[place], info];
  }
  groups.push(current);
  return groups;
}

interface HeaderParts {
  readonly layout: GgufLayout;
  /** The model's own; undefined in all shards but the first. */
  readonly metadata: Uint8Array | undefined;
  readonly places: readonly TensorPlace[];
  readonly no: number;
  readonly count: number;
  readonly readRange: (from: number, to: number) => Uint8Array;
}

function toHeader({ layout, metadata, places, no, count, readRange }: HeaderParts): Uint8Array {
  const { header, metadataCount, tensors } = layout;
  const keys = [
    ...(metadata === undefined && header.alignment !== DEFAULT_ALIGNMENT
      ? [toEntry("general.alignment", UINT32, header.alignment)]
      : []),
    toEntry("split.no", UINT16, no),
    toEntry("split.count", UINT16, count),
    toEntry("split.tensors.count", INT32, tensors.length),
  ];
  const start = places[0]?.offset ?? 0;
  const infos = places.map((place) => {
    const info = Buffer.from(readRange(place.infoStart, place.infoEnd));
    info.writeBigUInt64LE(BigInt(place.offset - start), info.byteLength - 8);
    return info;
  });
  const entries = (metadata === undefined ? 0 : metadataCount) + keys.length;
  const bytes = Buffer.concat([
    Buffer.from("GGUF"),
    u32(header.version),
    u64(places.length),
    u64(entries),
    metadata ?? new Uint8Array(0),
    ...keys,
    ...infos,
  ]);
  return Buffer.concat([bytes], roundUp(bytes.byteLength, header.alignment));
}

function toEntry(key: string, type: number, value: number): Buffer {
  const wide = u32(value);
  return Buffer.concat([u64(key.length), Buffer.from(key), u32(type), type === UINT16 ? wide.subarray(0, 2) : wide]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function tooSmall(fileName: string, maxBytes: number): CodedError {
  return new CodedError(
    "config_invalid",
    `${fileName} cannot be split into shards of at most ${maxBytes.toLocaleString("en-US")} bytes: ` +
      "one of its tensors is larger than that, and tensors stay whole",
  );
}
