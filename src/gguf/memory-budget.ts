/**
 * How much memory a model takes in a virtual machine, from its header. Pure arithmetic: whoever publishes a program and
 * whoever starts it come to the same numbers. Each part is an upper bound of what was measured (docs/benchmarks.md).
 */
import type { GgufHeader } from "./gguf-header.ts";

export const MIB = 1024 * 1024;
/** Keys and values are kept as 16-bit numbers. */
const KV_NUMBER_BYTES = 2;
/** llama.cpp rounds a sequence's cells up to this. Source: llama.cpp, src/llama-context.cpp. */
const CELL_STEP = 256;
/** Tokens of a batch. */
const BATCH_TOKENS = 512;
/** Numbers of 4 bytes that a layer keeps for a token while it is computed, in widths of the model. */
const WIDTHS_OF_A_LAYER = 16;
const FLOAT_BYTES = 4;
/** Of a token: its text in llama.cpp and here, its place in both tables, its logits of a batch's last token. */
const TOKEN_BYTES = 160;
/** Where a header does not say: the largest of common vocabularies. */
const LARGE_VOCABULARY = 152_064;
/** Node.js with the server, without a model. */
const SERVER_MIB = 112;
/** Node.js with the guest init. */
const GUEST_MIB = 64;
/** Kernel, its tables, bridges, what is read of the runtime and of the code. */
const SYSTEM_MIB = 208;

export type ModelShape = Pick<
  GgufHeader,
  | "requiredFileBytes"
  | "parameterCount"
  | "contextLength"
  | "blockCount"
  | "embeddingLength"
  | "kvHeadsOfAllLayers"
  | "keyLength"
  | "valueLength"
> & { readonly vocabularySize?: number | undefined };

export interface MemoryUse {
  /** Tokens of one slot. */
  readonly contextLength: number;
  readonly slots: number;
}

/** In bytes. */
export interface MemoryBudget {
  /** The model file, mapped: its pages can be read again, but each token reads them all. */
  readonly weights: number;
  /** Keys and values of all slots. */
  readonly cache: number;
  /** What a batch needs while it is computed, and the vocabulary. */
  readonly compute: number;
  readonly server: number;
  readonly guest: number;
  readonly system: number;
  readonly total: number;
  /** Without the kernel's part: what has to fit into the memory that a running system says it has. */
  readonly processes: number;
}

export function memoryBudget(model: ModelShape, use: MemoryUse): MemoryBudget {
  const weights = model.requiredFileBytes;
  const cache = cacheBytes(model, use);
  const compute =
    BATCH_TOKENS * WIDTHS_OF_A_LAYER * (model.embeddingLength ?? 0) * FLOAT_BYTES +
    (model.vocabularySize ?? LARGE_VOCABULARY) * TOKEN_BYTES;
  const [server, guest, system] = [SERVER_MIB * MIB, GUEST_MIB * MIB, SYSTEM_MIB * MIB];
  const processes = weights + cache + compute + server + guest;
  return { weights, cache, compute, server, guest, system, total: processes + system, processes };
}

/** The cells that a sequence of so many tokens takes. */
export function cellsFor(tokens: number): number {
  return Math.ceil(tokens / CELL_STEP) * CELL_STEP;
}

/** Keys and values of so many slots. */
function cacheBytes(model: ModelShape, { contextLength, slots }: MemoryUse): number {
  return slots * cellsFor(contextLength) * kvBytesPerToken(model);
}

/** States of conversations without a slot take at most this, unless more is asked for. */
const MOST_IDLE_BYTES = 2048 * MIB;

/**
 * What states of conversations without a slot may take: half of what is left when everything else is loaded. The other
 * half is for the system's copies of files. `embeds`: the context for embeddings is there as well.
 */
export function idlePrefixBytes(model: ModelShape, use: MemoryUse, availableBytes: number, embeds = false): number {
  const left = availableBytes - memoryBudget(model, use).processes - (embeds ? embeddingBytes(model, use) : 0);
  return Math.max(0, Math.min(Math.floor(left / 2), MOST_IDLE_BYTES));
}

/** Of the context that computes embeddings, made on first demand. */
export function embeddingBytes(model: ModelShape, use: MemoryUse): number {
  return cacheBytes(model, { ...use, slots: 1 }) + memoryBudget(model, use).compute;
}

/** Where the header says nothing of its heads: one pair of vectors as wide as the model for each layer. */
export function kvBytesPerToken(model: ModelShape): number {
  const { kvHeadsOfAllLayers, keyLength, valueLength, blockCount, embeddingLength } = model;
  const numbers =
    kvHeadsOfAllLayers === undefined || keyLength === undefined || valueLength === undefined
      ? 2 * (blockCount ?? 0) * (embeddingLength ?? 0)
      : kvHeadsOfAllLayers * (keyLength + valueLength);
  return numbers * KV_NUMBER_BYTES;
}

/** The longest context that fits into so much memory with so many slots: whole steps of 256 tokens, 0 when none does. */
export function longestContext(model: ModelShape, slots: number, memoryBytes: number): number {
  const empty = memoryBudget(model, { contextLength: 0, slots }).total;
  const step = cacheBytes(model, { contextLength: CELL_STEP, slots });
  const steps = Math.max(0, Math.floor((memoryBytes - empty) / Math.max(1, step)));
  return Math.min(steps * CELL_STEP, model.contextLength ?? Number.MAX_SAFE_INTEGER);
}

/** For people: `1,511 MiB = weights 610 + …`. */
export function describeBudget(budget: MemoryBudget, sum: "total" | "processes" = "total"): string {
  const parts = [
    `weights ${inMiB(budget.weights)}`,
    `keys and values ${inMiB(budget.cache)}`,
    `computing ${inMiB(budget.compute)}`,
    `server ${inMiB(budget.server)}`,
    `guest ${inMiB(budget.guest)}`,
    ...(sum === "total" ? [`system ${inMiB(budget.system)}`] : []),
  ];
  return `${inMiB(budget[sum])} MiB: ${parts.join(", ")}`;
}

export function inMiB(bytes: number): string {
  return Math.ceil(bytes / MIB).toLocaleString("en-US");
}
