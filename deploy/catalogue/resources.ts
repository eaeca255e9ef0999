/** How large a program has to be for a model. Pure arithmetic over a header. */
import { CodedError } from "../../src/domain/errors.ts";
import type { GgufHeader } from "../../src/gguf/gguf-header.ts";
import { roundUp } from "../../src/gguf/gguf-tensors.ts";

const MIB = 1024 * 1024;
/** For Node, the server and the buffers of inference; less has ended in an out-of-memory kill. */
const HEADROOM_MIB = 512;
const MEMORY_STEP_MIB = 256;
/** Keys and values are kept as 16-bit numbers. */
const KV_NUMBER_BYTES = 2;
/** Enough for a conversation. Longer ones cost memory for each slot. */
const DEFAULT_CONTEXT_LENGTH = 4096;
const DEFAULT_SLOTS = 1;
const MAX_SLOTS = 64;
/** The network bills the greater of vCPUs and memory in units of this. */
const MIB_OF_ONE_UNIT = 2048;
/** The sizes that the network publishes. Source: its price aggregate, tiers of `program`. */
const PUBLISHED_UNITS = [1, 2, 4, 6, 8, 12] as const;
/** Prompts of larger models are read too slowly by one vCPU. More than 4 are left to whoever asks for them. */
const PARAMETERS_OF_ONE_VCPU = 500_000_000;
const MAX_PROPOSED_FOR_SPEED = 4;

export interface ResourceWishes {
  /** Tokens of one slot. */
  readonly contextLength?: number | undefined;
  readonly slots?: number | undefined;
  readonly memoryMiB?: number | undefined;
}

export interface ProposedResources {
  readonly memoryMiB: number;
  readonly vcpus: number;
  readonly contextLength: number;
  readonly slots: number;
}

type ModelShape = Pick<
  GgufHeader,
  | "requiredFileBytes"
  | "parameterCount"
  | "contextLength"
  | "blockCount"
  | "embeddingLength"
  | "kvHeadsOfAllLayers"
  | "keyLength"
  | "valueLength"
>;

/**
 * memory = model file + slots × context length × KV bytes per token + 512 MiB, rounded up to 256 MiB; or as wished.
 * vCPUs  = one for each started 500 million weights, at most 4, and at least as many as the memory pays for anyway
 *          (one for each started 2048 MiB), raised to the next published size.
 * Errors: `usage` on a wish that the model cannot fulfil.
 */
export function proposeResources(model: ModelShape, wishes: ResourceWishes = {}): ProposedResources {
  const trained = model.contextLength;
  const contextLength = wishes.contextLength ?? Math.min(trained ?? DEFAULT_CONTEXT_LENGTH, DEFAULT_CONTEXT_LENGTH);
  checkWhole(
    "context length",
    contextLength,
    trained ?? Number.MAX_SAFE_INTEGER,
    "tokens that the model was trained for",
  );
  const slots = wishes.slots ?? DEFAULT_SLOTS;
  checkWhole("number of slots", slots, MAX_SLOTS, "slots");

  const kvBytes = slots * contextLength * kvBytesPerToken(model);
  const neededMiB = Math.ceil((model.requiredFileBytes + kvBytes) / MIB + HEADROOM_MIB);
  if (wishes.memoryMiB !== undefined && wishes.memoryMiB < neededMiB) {
    const needed = `the model takes ${neededMiB} MiB with ${slots} × ${contextLength} tokens`;
    const message = `${wishes.memoryMiB} MiB of memory are too few: ${needed}; give more, or ask for fewer or shorter slots`;
    throw new CodedError("usage", message);
  }
  const memoryMiB = wishes.memoryMiB ?? roundUp(neededMiB, MEMORY_STEP_MIB);

  const forSpeed = Math.min(MAX_PROPOSED_FOR_SPEED, Math.ceil(model.parameterCount / PARAMETERS_OF_ONE_VCPU));
  const units = Math.max(1, forSpeed, Math.ceil(memoryMiB / MIB_OF_ONE_UNIT));
  const vcpus = PUBLISHED_UNITS.find((published) => published >= units) ?? units;
  return { memoryMiB, vcpus, contextLength, slots };
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

function checkWhole(what: string, value: number, most: number, unit: string): void {
  if (Number.isInteger(value) && value >= 1 && value <= most) return;
  throw new CodedError("usage", `the ${what} is ${value}; it must be a whole number from 1 to the ${most} ${unit}`);
}
