/** How large a program has to be for a model. Pure arithmetic over a header. */
import { CodedError } from "../../src/domain/errors.ts";
import { roundUp } from "../../src/gguf/gguf-tensors.ts";
import {
  describeBudget,
  idlePrefixBytes,
  inMiB,
  longestContext,
  type MemoryBudget,
  memoryBudget,
  MIB,
  type ModelShape,
  kvBytesPerToken,
} from "../../src/gguf/memory-budget.ts";

const MEMORY_STEP_MIB = 256;
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
  /** Where no other memory is wished for; the catalogue's. */
  readonly leastMemoryMiB?: number | undefined;
}

export interface ProposedResources {
  readonly memoryMiB: number;
  readonly vcpus: number;
  readonly contextLength: number;
  readonly slots: number;
  readonly budget: MemoryBudget;
}

/**
 * memory = what `memoryBudget` says, rounded up to 256 MiB, and at least what the catalogue says; or as wished.
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

  const budget = memoryBudget(model, { contextLength, slots });
  const neededMiB = Math.ceil(budget.total / MIB);
  if (wishes.memoryMiB !== undefined && wishes.memoryMiB < neededMiB) {
    const needed = `the model with ${slots} × ${contextLength} tokens takes ${describeBudget(budget)}`;
    const advice = adviceFor(model, slots, wishes.memoryMiB * MIB);
    throw new CodedError("usage", `${wishes.memoryMiB} MiB of memory are too few: ${needed}; ${advice}`);
  }
  const memoryMiB = wishes.memoryMiB ?? Math.max(roundUp(neededMiB, MEMORY_STEP_MIB), wishes.leastMemoryMiB ?? 0);

  const forSpeed = Math.min(MAX_PROPOSED_FOR_SPEED, Math.ceil(model.parameterCount / PARAMETERS_OF_ONE_VCPU));
  const units = Math.max(1, forSpeed, Math.ceil(memoryMiB / MIB_OF_ONE_UNIT));
  const vcpus = PUBLISHED_UNITS.find((published) => published >= units) ?? units;
  return { memoryMiB, vcpus, contextLength, slots, budget };
}

function adviceFor(model: ModelShape, slots: number, memoryBytes: number): string {
  const [all, one] = [slots, 1].map((count) => longestContext(model, count, memoryBytes));
  if (all !== undefined && all > 0) return `give more, or ask for a context length of at most ${all}`;
  if (one !== undefined && one > 0) return `give more, or ask for --slots 1 and a context length of at most ${one}`;
  return "give more, or take a smaller model or quantization";
}

/** Why a model gets what it gets, a sentence for each number. */
export function explainResources(
  model: ModelShape,
  wishes: ResourceWishes,
  { memoryMiB, vcpus, contextLength, slots, budget }: ProposedResources,
): readonly string[] {
  const trained = model.contextLength;
  const asked = (wish: number | undefined, otherwise: string): string =>
    wish === undefined ? otherwise : "as asked for";
  const ofContext = `the model was trained for ${trained ?? "an unknown number of"}, and ${DEFAULT_CONTEXT_LENGTH} are enough for a conversation`;
  const isLeast = memoryMiB > roundUp(Math.ceil(budget.total / MIB), MEMORY_STEP_MIB);
  const ofMemory = isLeast ? "the least that the catalogue gives it" : `rounded up to ${MEMORY_STEP_MIB}`;
  const ofCpus = `one for each ${PARAMETERS_OF_ONE_VCPU / 1e6} million of its ${Math.round(model.parameterCount / 1e6)} million weights, at most ${MAX_PROPOSED_FOR_SPEED}, and what ${memoryMiB} MiB pay for anyway (one for each ${MIB_OF_ONE_UNIT} MiB)`;
  return [
    `context length ${contextLength}: ${asked(wishes.contextLength, ofContext)}`,
    `slots ${slots}: ${asked(wishes.slots, "one request at a time")}; each keeps ${inMiB(contextLength * kvBytesPerToken(model))} MiB of keys and values (${kvBytesPerToken(model).toLocaleString("en-US")} bytes a token)`,
    `memory ${memoryMiB} MiB: ${asked(wishes.memoryMiB, ofMemory)}; needed are ${describeBudget(budget)}`,
    `idle prefixes ${inMiB(idlePrefixBytes(model, { contextLength, slots }, memoryMiB * MIB))} MiB: half of what that leaves, for the evaluated tokens of conversations without a slot`,
    `vCPUs ${vcpus}: ${ofCpus}`,
    `threads ${vcpus}: as many as vCPUs; more would wait for each other at every layer`,
  ];
}

function checkWhole(what: string, value: number, most: number, unit: string): void {
  if (Number.isInteger(value) && value >= 1 && value <= most) return;
  throw new CodedError("usage", `the ${what} is ${value}; it must be a whole number from 1 to the ${most} ${unit}`);
}
