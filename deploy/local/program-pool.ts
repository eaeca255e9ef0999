import { setMaxListeners } from "node:events";

import { CodedError } from "../../src/domain/errors.ts";
import type { ItemHash } from "../../src/domain/hash.ts";
import type { Backend, RunningProgram } from "./backends/backend.ts";
import { SetupFailed, SetupRefused } from "./guest-connection.ts";
import { draining, noCapacity, Refusal, setupRefused, startFailed, unexpected } from "./refusals.ts";
import { type CheckStrict, type Owners, type ResolvedProgram, resolveProgram } from "./resolve.ts";
import type { NodeStore } from "./store.ts";

/** One line for the operator. Never carries what a client sent. */
export type NodeLog = (event: string, fields?: Readonly<Record<string, unknown>>) => void;

export type ProgramState = "cold" | "starting" | "running";

/** What all programs together may take. */
export interface Capacity {
  readonly memoryMiB: number;
  readonly vcpus: number;
}

export interface ProgramPoolOptions {
  readonly store: NodeStore;
  readonly backend: Backend;
  readonly checkStrict: CheckStrict;
  readonly owners: Owners;
  /** A program without a request for this long is stopped. */
  readonly idleMs: number;
  /** With a capacity, programs also start one after the other, as on a CRN. Undefined: no limit. */
  readonly capacity: Capacity | undefined;
  readonly log: NodeLog;
}

/** The use of a program by one request. */
export interface Lease {
  readonly resolved: ResolvedProgram;
  readonly running: RunningProgram;
  /** No new request gets this program; it is stopped when its last request has ended. */
  retire(): void;
  /** To be called once. */
  release(): void;
}

interface Seat {
  state: "starting" | "running" | "leaving";
  resolved: ResolvedProgram | undefined;
  readonly started: Promise<{ resolved: ResolvedProgram; running: RunningProgram }>;
  running: RunningProgram | undefined;
  leases: number;
  idleTimer: NodeJS.Timeout | undefined;
}

/** Starts programs when they are asked for, and stops them when they are not. */
export class ProgramPool {
  readonly #options: ProgramPoolOptions;
  readonly #seats = new Map<ItemHash, Seat>();
  readonly #closing = new AbortController();
  /** The creation lock of a CRN: the tail of the queue of starts. */
  #lastStart: Promise<unknown> = Promise.resolve();

  constructor(options: ProgramPoolOptions) {
    this.#options = options;
    // Every program that starts listens to it.
    setMaxListeners(0, this.#closing.signal);
  }

  /** Resolves with a running program; requests for one program share its start. Errors: a `Refusal`. */
  async acquire(itemHash: ItemHash): Promise<Lease> {
    for (;;) {
      if (this.#closing.signal.aborted) throw draining();
      const seat = this.#seats.get(itemHash) ?? this.#createSeat(itemHash);
      if (seat.state === "leaving") {
        await seat.running?.exited;
        continue;
      }
      const { resolved, running } = await seat.started;
      // It may have ended, or have been retired, while this request waited.
      if (seat.state === "running") return this.#lease(seat, resolved, running);
    }
  }

  state(itemHash: ItemHash): ProgramState {
    const state = this.#seats.get(itemHash)?.state ?? "cold";
    return state === "leaving" ? "cold" : state;
  }

  running(): readonly ItemHash[] {
    return [...this.#seats].filter(([, seat]) => seat.state === "running").map(([itemHash]) => itemHash);
  }

  /** From now on every `acquire` is refused. */
  drain(): void {
    this.#closing.abort();
  }

  /** Resolves when no program is left. */
  async close(): Promise<void> {
    this.drain();
    await Promise.all(
      [...this.#seats.values()].map(async (seat) => {
        const started = await seat.started.catch(() => undefined);
        clearTimeout(seat.idleTimer);
        await started?.running.stop();
      }),
    );
  }

  #createSeat(itemHash: ItemHash): Seat {
    const seat: Seat = {
      state: "starting",
      resolved: undefined,
      started: this.#start(itemHash, () => seat),
      running: undefined,
      leases: 0,
      idleTimer: undefined,
    };
    this.#seats.set(itemHash, seat);
    void this.#follow(itemHash, seat);
    return seat;
  }

  /** Keeps the seat's state true from its start to its end. */
  async #follow(itemHash: ItemHash, seat: Seat): Promise<void> {
    const { log } = this.#options;
    try {
      seat.running = (await seat.started).running;
    } catch (error) {
      this.#seats.delete(itemHash);
      log("program did not start", { program: itemHash, error: describe(error) });
      return;
    }
    seat.state = "running";
    this.#armIdleTimer(seat);
    const how = await seat.running.exited;
    clearTimeout(seat.idleTimer);
    seat.state = "leaving";
    this.#seats.delete(itemHash);
    log("program ended", { program: itemHash, how });
  }

  async #start(
    itemHash: ItemHash,
    seatOf: () => Seat,
  ): Promise<{ resolved: ResolvedProgram; running: RunningProgram }> {
    const { store, backend, checkStrict, owners, capacity, log } = this.#options;
    // Lets the caller finish the seat first.
    await Promise.resolve();
    const turn = capacity === undefined ? Promise.resolve() : this.#lastStart;
    const start = turn
      .catch(() => {})
      .then(async () => {
        const resolved = await resolveProgram(store, itemHash, checkStrict, owners);
        if (capacity !== undefined) this.#admit(resolved, capacity);
        seatOf().resolved = resolved;
        const beganAt = performance.now();
        const running = await backend.start(resolved.files, this.#closing.signal).catch((error: unknown) => {
          throw this.#closing.signal.aborted ? draining() : toRefusal(itemHash, error);
        });
        log("program started", { program: itemHash, ms: Math.round(performance.now() - beganAt) });
        return { resolved, running };
      })
      .catch((error: unknown) => {
        throw error instanceof Refusal ? error : unexpected(error);
      });
    this.#lastStart = start;
    return start;
  }

  #admit({ files }: ResolvedProgram, capacity: Capacity): void {
    const known = [...this.#seats.values()].flatMap(({ resolved }) => resolved?.files.resources ?? []);
    const memoryMiB = known.reduce((sum, { memoryMiB: one }) => sum + one, files.resources.memoryMiB);
    const vcpus = known.reduce((sum, { vcpus: one }) => sum + one, files.resources.vcpus);
    if (memoryMiB > capacity.memoryMiB) {
      throw noCapacity(`${memoryMiB} MiB would be in use, a CRN gives programs ${capacity.memoryMiB} MiB`);
    }
    if (vcpus > capacity.vcpus) {
      throw noCapacity(`${vcpus} virtual CPUs would be in use, this machine counts for ${capacity.vcpus}`);
    }
  }

  #lease(seat: Seat, resolved: ResolvedProgram, running: RunningProgram): Lease {
    clearTimeout(seat.idleTimer);
    seat.leases += 1;
    return {
      resolved,
      running,
      retire: () => {
        if (seat.state === "running") seat.state = "leaving";
        if (seat.leases === 0) void running.stop();
      },
      release: () => {
        seat.leases -= 1;
        if (seat.leases > 0) return;
        if (seat.state === "leaving") void running.stop();
        else this.#armIdleTimer(seat);
      },
    };
  }

  #armIdleTimer(seat: Seat): void {
    clearTimeout(seat.idleTimer);
    seat.idleTimer = setTimeout(() => {
      seat.state = "leaving";
      void seat.running?.stop();
    }, this.#options.idleMs);
    seat.idleTimer.unref();
  }
}

/** In a CRN's words there are three ways not to start. */
function toRefusal(itemHash: ItemHash, error: unknown): Refusal {
  if (error instanceof SetupRefused) return setupRefused(itemHash, error);
  return error instanceof SetupFailed ? unexpected(error) : startFailed(itemHash, error);
}

/** With the last lines of the program's log, where the error has them. */
function describe(error: unknown): string {
  if (error instanceof Refusal) return error.message;
  if (error instanceof CodedError) return `${error.code}: ${error.message}`;
  return String(error);
}
