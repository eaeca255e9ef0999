/**
 * States of conversations that lost their slot, kept in memory until their next turn. Each is a file of the library's
 * own form; how much of it serves a prompt is found by its tokens alone (docs/decisions/0019-idle-prefixes.md).
 */
import type { IdlePrefixesStatus } from "../domain/engine.ts";
import type { NativeContext, Token } from "./native.ts";
import { covers, type Evaluated, type ReuseOptions, reusablePrefix } from "./slots.ts";
import type { StateFile, StateFiles } from "./state-files.ts";

/** Fewer tokens are evaluated again in less time than their state is looked for. */
const LEAST_TOKENS = 64;
/** A state must be this much faster to move than its tokens are to evaluate. */
const LEAST_GAIN = 4;
/** Running streams stand still while a state moves: at most this long. */
const LONGEST_PAUSE_MS = 500;
/** Speed of moving states until it is measured (measured: 600 to 1,200). */
const FIRST_BYTES_PER_MS = 500_000;
/** Each is an open file. */
const MOST_ENTRIES = 512;

/** A state outside of the context. */
export interface IdlePrefix extends Evaluated {
  readonly file: Pick<StateFile, "path" | "close">;
  readonly bytes: number;
  /** Of these, what takes memory: all of them but for a file of the model's volume. */
  readonly memoryBytes: number;
  /** Stays whatever happens. */
  readonly isPinned: boolean;
  lastUsed: number;
}

export interface IdlePrefixesOptions {
  readonly context: NativeContext;
  readonly files: StateFiles;
  /** Evictions follow when the next prompt comes. */
  readonly budgetBytes: () => number;
  /** Of keys and values. */
  readonly bytesPerToken: number;
  readonly log?: ((event: string, data: Record<string, unknown>) => void) | undefined;
}

/** What moving a state would cost others and save. */
export interface Pace {
  readonly promptTokensPerMs: number;
  /** Whether answers are being generated meanwhile. */
  readonly hasStreams: boolean;
}

export interface KeepOptions {
  readonly mayCut: boolean;
  /** Stays whatever happens: it is about to be brought back. */
  readonly needed: IdlePrefix | undefined;
  readonly pace: Pace;
}

export class IdlePrefixes {
  readonly #options: IdlePrefixesOptions;
  #entries: IdlePrefix[] = [];
  #bytesPerMs = FIRST_BYTES_PER_MS;
  #clock = 0;
  #restored = 0;

  constructor(options: IdlePrefixesOptions) {
    this.#options = options;
  }

  get status(): IdlePrefixesStatus {
    return { count: this.#entries.length, bytes: this.#bytes, restored: this.#restored };
  }

  get #bytes(): number {
    return this.#entries.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
  }

  /** A state that is there from the start, in a file of somebody else. */
  pin(prefix: Evaluated, path: string, bytes: number, memoryBytes: number): void {
    const file = { path, close: () => undefined };
    this.#entries.push({ ...prefix, file, bytes, memoryBytes, isPinned: true, lastUsed: 0 });
  }

  /**
   * The state that spares a prompt the most tokens beyond those that `held` spares already, where bringing it back takes
   * less time. `mayCut`: of a state, a beginning can be used; else all of it or nothing.
   */
  find(
    prompt: readonly Token[],
    held: number,
    options: ReuseOptions & { readonly mayCut: boolean },
    pace: Pace,
  ): { readonly prefix: IdlePrefix; readonly shared: number } | undefined {
    this.#makeRoom(this.#options.budgetBytes(), MOST_ENTRIES, undefined);
    let best: { prefix: IdlePrefix; shared: number } | undefined;
    for (const prefix of this.#entries) {
      const shared = reusablePrefix(prefix, prompt, options);
      if (!options.mayCut && shared < prefix.tokens.length) continue;
      const isBetter = shared > (best?.shared ?? held) || (shared === best?.shared && prefix.bytes < best.prefix.bytes);
      if (isBetter) best = { prefix, shared };
    }
    return best !== undefined && this.#pays(best.shared - held, best.prefix.bytes, pace) ? best : undefined;
  }

  /**
   * Keeps what a sequence holds, where that is worth it: it takes the place of states that it covers, and of the least
   * recently used ones. A state that cannot be kept is no fault: its tokens are evaluated again.
   */
  async keep(held: Evaluated, sequence: number, { mayCut, needed, pace }: KeepOptions): Promise<void> {
    const { bytesPerToken, log } = this.#options;
    const tokens = held.tokens.slice();
    const estimate = tokens.length * bytesPerToken;
    if (estimate > this.#room || !this.#pays(tokens.length, estimate, pace)) return;
    const same = mayCut && this.#entries.find((entry) => covers(entry, held));
    if (same) {
      same.lastUsed = ++this.#clock;
      return;
    }
    if (mayCut) this.#drop((entry) => entry !== needed && !entry.isPinned && covers(held, entry));
    this.#makeRoom(this.#room - estimate, MOST_ENTRIES - 1, needed);
    try {
      const file = await this.#save(sequence);
      const { tiled, untiled } = held;
      const { bytes } = file;
      const memoryBytes = bytes;
      const lastUsed = ++this.#clock;
      this.#entries.push({ tokens, tiled, untiled, file, bytes, memoryBytes, isPinned: false, lastUsed });
      this.#makeRoom(this.#options.budgetBytes(), MOST_ENTRIES, needed);
    } catch (error) {
      log?.("idle prefix not kept", { tokens: tokens.length, reason: String(error) });
    }
  }

  /** What all states may take, held ones included. */
  get #room(): number {
    const { budgetBytes, files } = this.#options;
    return Math.min(budgetBytes(), files.freeBytes + this.#bytes);
  }

  async #save(sequence: number): Promise<StateFile> {
    const { context, files } = this.#options;
    const file = files.create();
    try {
      const startedAt = performance.now();
      const bytes = await context.saveSequenceStateToFile(file.path, sequence, new Uint32Array(0));
      if (file.bytes !== bytes) throw new Error("the state was cut off");
      this.#notePace(bytes, performance.now() - startedAt);
      return file;
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** Brings a state into a sequence. False where that failed: the sequence is empty then, and the state gone. */
  async restore(prefix: IdlePrefix, sequence: number): Promise<boolean> {
    const { context, log } = this.#options;
    const startedAt = performance.now();
    try {
      await context.loadSequenceStateFromFile(prefix.file.path, sequence, 1);
      this.#notePace(prefix.bytes, performance.now() - startedAt);
      prefix.lastUsed = ++this.#clock;
      this.#restored += 1;
      return true;
    } catch (error) {
      context.disposeSequence(sequence);
      this.#drop((entry) => entry === prefix);
      log?.("idle prefix lost", { tokens: prefix.tokens.length, reason: String(error) });
      return false;
    }
  }

  /** Pinned ones stay. */
  forget(isForgotten: (prefix: IdlePrefix) => boolean): void {
    this.#drop((entry) => !entry.isPinned && isForgotten(entry));
  }

  close(): void {
    this.#drop(() => true);
  }

  #pays(tokens: number, bytes: number, { promptTokensPerMs, hasStreams }: Pace): boolean {
    const moving = bytes / this.#bytesPerMs;
    if (tokens < LEAST_TOKENS || (hasStreams && moving > LONGEST_PAUSE_MS)) return false;
    return moving * LEAST_GAIN <= tokens / promptTokensPerMs;
  }

  #notePace(bytes: number, milliseconds: number): void {
    this.#bytesPerMs += (bytes / Math.max(milliseconds, 0.01) - this.#bytesPerMs) / 4;
  }

  #makeRoom(bytes: number, count: number, needed: IdlePrefix | undefined): void {
    const leaving = new Set<IdlePrefix>();
    let kept = this.#bytes;
    for (const entry of this.#entries.toSorted((a, b) => a.lastUsed - b.lastUsed)) {
      if (kept <= bytes && this.#entries.length - leaving.size <= count) break;
      if (entry.isPinned || entry === needed) continue;
      leaving.add(entry);
      kept -= entry.memoryBytes;
    }
    this.#drop((entry) => leaving.has(entry));
  }

  #drop(isLeaving: (entry: IdlePrefix) => boolean): void {
    for (const entry of this.#entries) if (isLeaving(entry)) entry.file.close();
    this.#entries = this.#entries.filter((entry) => !isLeaving(entry));
  }
}
