import type { Token } from "./native.ts";

/**
 * From this many tokens of one sequence in a batch on, llama.cpp computes attention in tiles, which rounds differently.
 * Source: llama.cpp, ggml/src/ggml-cpu, ggml_fa_tile_config.
 */
export const TILE = 64;
/** Below this many shared tokens, evaluating them again costs less than copying a whole sequence's state. */
const LEAST_COPY_TOKENS = 32;

/** Tokens whose state is held somewhere. */
export interface Evaluated {
  readonly tokens: readonly Token[];
  /** Length of the beginning whose tokens were all evaluated in tiles, and of the one where none was. */
  readonly tiled: number;
  readonly untiled: number;
}

/** The server's seat for one running request, and the sequence in the context that it owns. */
export interface Slot<Job> extends Evaluated {
  readonly id: number;
  /** The job's own included. */
  tokens: Token[];
  tiled: number;
  untiled: number;
  job: Job | undefined;
  /** Counts releases: the least recently used free slot has the lowest. */
  lastUsed: number;
}

/** Where a prompt goes and what of it need not be evaluated. */
export interface Seat<Job> {
  readonly slot: Slot<Job>;
  /** Copy the state of this slot's sequence first; undefined where the seat's own state serves. */
  readonly source: Slot<Job> | undefined;
  /** Tokens of the prompt whose state is reused. */
  readonly shared: number;
}

export interface ReuseOptions {
  /** Whether what is held of the prompt may be reused. */
  readonly reuse: boolean;
  /** Reuse only what evaluating the prompt from its beginning would give to the last bit. */
  readonly isExact: boolean;
}

export interface SeatOptions extends ReuseOptions {
  /** Taken where it is free. */
  readonly wantedSlot: number | undefined;
}

export function createSlots<Job>(count: number): Slot<Job>[] {
  return Array.from({ length: count }, (_, id) => ({
    id,
    tokens: [],
    tiled: 0,
    untiled: 0,
    job: undefined,
    lastUsed: 0,
  }));
}

/** The slot's sequence has these tokens more, evaluated in one batch. */
export function extendSlot<Job>(slot: Slot<Job>, tokens: Uint32Array): void {
  const { length } = slot.tokens;
  const kind = tokens.length >= TILE ? "tiled" : "untiled";
  if (slot[kind] === length) slot[kind] += tokens.length;
  for (const token of tokens) slot.tokens.push(token);
}

/** The slot's sequence holds its first tokens only. */
export function cutSlot<Job>(slot: Slot<Job>, length: number): void {
  slot.tokens.length = length;
  slot.tiled = Math.min(slot.tiled, length);
  slot.untiled = Math.min(slot.untiled, length);
}

/**
 * Chooses a free slot for a prompt: the longest shared prefix wins, wherever it lies. A free slot that holds mostly
 * that prefix is continued. One that holds much more (another conversation under the same system prompt), or that is
 * busy, is copied from, into the least recently used free slot. At least one token is left to evaluate.
 */
export function chooseSeat<Job>(
  slots: readonly Slot<Job>[],
  prompt: readonly Token[],
  options: SeatOptions,
): Seat<Job> | undefined {
  const target = chooseTarget(slots, options.wantedSlot);
  if (target === undefined) return undefined;
  const wanted = target.id === options.wantedSlot ? target : undefined;
  const reusable = (slot: Slot<Job>) => reusablePrefix(slot, prompt, options);
  let source = target;
  let shared = reusable(target);
  for (const slot of slots) {
    const length = reusable(slot);
    const better =
      length > shared || (length === shared && slot.tokens.length < source.tokens.length && slot.job === undefined);
    if (better && (length > 0 || wanted === undefined)) [source, shared] = [slot, length];
  }
  const mayContinue = source.job === undefined && (wanted === undefined || source === wanted);
  if (mayContinue && shared * 2 >= source.tokens.length) return { slot: source, source: undefined, shared };
  if (source === target) return { slot: target, source: undefined, shared };
  const own = reusable(target);
  if (shared - own < LEAST_COPY_TOKENS) return { slot: target, source: undefined, shared: own };
  return { slot: target, source, shared };
}

/** The free slot to overwrite: the wanted one, else the least recently used one, beside a busy one where there is such. */
export function chooseTarget<Job>(slots: readonly Slot<Job>[], wantedSlot: number | undefined): Slot<Job> | undefined {
  const free = slots.filter((slot) => slot.job === undefined);
  const wanted = free.find(({ id }) => id === wantedSlot);
  return wanted ?? leastUsed(free.some(isNeighbour(slots)) ? free.filter(isNeighbour(slots)) : free);
}

/** Beside a busy slot: llama.cpp computes sequences together only where their numbers follow each other. */
function isNeighbour<Job>(slots: readonly Slot<Job>[]): (slot: Slot<Job>) => boolean {
  return ({ id }) => slots[id - 1]?.job !== undefined || slots[id + 1]?.job !== undefined;
}

function leastUsed<Job>(slots: readonly Slot<Job>[]): Slot<Job> | undefined {
  return slots.reduce<Slot<Job> | undefined>(
    (least, slot) => (least === undefined || slot.lastUsed < least.lastUsed ? slot : least),
    undefined,
  );
}

/** Tokens of the prompt whose held state may stand for their evaluation. */
export function reusablePrefix(held: Evaluated, prompt: readonly Token[], { reuse, isExact }: ReuseOptions): number {
  if (!reuse) return 0;
  const common = Math.min(sharedPrefix(held.tokens, prompt), prompt.length - 1);
  if (!isExact) return common;
  // From its beginning, a prompt of a tile or more is evaluated in tiles, and a shorter one is not.
  if (prompt.length < TILE) return Math.min(common, held.untiled);
  return Math.max(0, Math.min(common, held.tiled, prompt.length - TILE));
}

/** Whether `other` can be had from what is held by cutting it. */
export function covers(held: Evaluated, other: Evaluated): boolean {
  const { length } = other.tokens;
  if (sharedPrefix(held.tokens, other.tokens) < length) return false;
  return Math.min(held.tiled, length) >= other.tiled && Math.min(held.untiled, length) >= other.untiled;
}

/** Length of the common beginning of two token lists. */
export function sharedPrefix(a: readonly Token[], b: readonly Token[]): number {
  const length = Math.min(a.length, b.length);
  let index = 0;
  while (index < length && a[index] === b[index]) index++;
  return index;
}
