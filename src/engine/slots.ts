import type { Token } from "./native.ts";

/** Below this many shared tokens, evaluating them again costs less than copying a whole sequence's state. */
const LEAST_COPY_TOKENS = 32;

/** The server's seat for one running request, and the sequence in the context that it owns. */
export interface Slot<Job> {
  readonly id: number;
  /** The tokens whose state the sequence holds, the job's own included. */
  tokens: Token[];
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

export function createSlots<Job>(count: number): Slot<Job>[] {
  return Array.from({ length: count }, (_, id) => ({ id, tokens: [], job: undefined, lastUsed: 0 }));
}

/**
 * Chooses a free slot for a prompt: the longest shared prefix wins, wherever it lies. A free slot that holds mostly
 * that prefix is continued. One that holds much more (another conversation under the same system prompt), or that is
 * busy, is copied from, into the least recently used free slot. At least one token is left to evaluate.
 */
export function chooseSeat<Job>(slots: readonly Slot<Job>[], prompt: readonly Token[]): Seat<Job> | undefined {
  const free = slots.filter((slot) => slot.job === undefined);
  const oldest = free.reduce<Slot<Job> | undefined>(
    (least, slot) => (least === undefined || slot.lastUsed < least.lastUsed ? slot : least),
    undefined,
  );
  if (oldest === undefined) return undefined;
  const most = prompt.length - 1;
  let source = oldest;
  let shared = Math.min(sharedPrefix(oldest.tokens, prompt), most);
  for (const slot of slots) {
    const length = Math.min(sharedPrefix(slot.tokens, prompt), most);
    const better =
      length > shared || (length === shared && slot.tokens.length < source.tokens.length && slot.job === undefined);
    if (better) [source, shared] = [slot, length];
  }
  if (source.job === undefined && shared * 2 >= source.tokens.length)
    return { slot: source, source: undefined, shared };
  if (source === oldest) return { slot: oldest, source: undefined, shared };
  const own = Math.min(sharedPrefix(oldest.tokens, prompt), most);
  if (shared - own < LEAST_COPY_TOKENS) return { slot: oldest, source: undefined, shared: own };
  return { slot: oldest, source, shared };
}

/** Length of the common beginning of two token lists. */
export function sharedPrefix(a: readonly Token[], b: readonly Token[]): number {
  const length = Math.min(a.length, b.length);
  let index = 0;
  while (index < length && a[index] === b[index]) index++;
  return index;
}
