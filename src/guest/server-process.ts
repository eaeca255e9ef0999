import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, realpathSync, rmSync } from "node:fs";
import { createConnection } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

import { CodedError } from "../domain/errors.ts";
import type { GuestLog } from "./log.ts";
import { NoAnswer, stillStarting } from "./own-answers.ts";

export interface ServerProcessOptions {
  readonly script: string;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Where the server will listen. */
  readonly socketPath: string;
  readonly log: GuestLog;
  /** Takes what the server prints, which is then also a group of its own. By default it prints where this process does. */
  readonly output?: ((chunk: Buffer) => void) | undefined;
  /** Called when it has ended by itself, with a sentence that says how. By default it is started again. */
  readonly onEnd?: ((how: string) => void) | undefined;
}

type State =
  | { readonly is: "starting"; readonly accepting: Promise<boolean> }
  | { readonly is: "up" }
  /** `until` is of `performance.now()`. */
  | { readonly is: "down"; readonly until: number; readonly how: string }
  | { readonly is: "stopped" };

const LAST_OUTPUT_MS = 200;
const FIRST_POLL_MS = 2;
const LAST_POLL_MS = 25;
const FIRST_BACK_OFF_MS = 250;
const LAST_BACK_OFF_MS = 30_000;
/** A server that ran so long had nothing wrong with its start. */
const HEALTHY_MS = 60_000;

/** The server as a child process, started again whenever it ends. */
export class ServerProcess {
  readonly #options: ServerProcessOptions;
  #state: State = { is: "stopped" };
  #child: ChildProcess | undefined;
  #backOffMs = FIRST_BACK_OFF_MS;
  #restart: NodeJS.Timeout | undefined;

  constructor(options: ServerProcessOptions) {
    this.#options = options;
  }

  start(): void {
    const { script, cwd, env, socketPath, log, output } = this.#options;
    // One that was killed leaves its socket behind, and any server would find the address in use.
    rmSync(socketPath, { force: true });
    const startedAt = performance.now();
    const child = spawn(process.execPath, [existsSync(script) ? realpathSync(script) : script], {
      cwd,
      env,
      // Standard input stays open, with nothing in it: its end tells the server that this process is gone.
      stdio: output === undefined ? ["pipe", "inherit", "inherit"] : ["pipe", "pipe", "pipe"],
      // What a terminal sends to this process's group is not for the server.
      detached: output !== undefined,
    });
    child.stdin?.on("error", () => undefined);
    for (const printed of [child.stdout, child.stderr]) printed?.on("data", (chunk: Buffer) => output?.(chunk));
    this.#child = child;
    log("server_started", { pid: child.pid });
    let isOver = false;
    const ended = async (how: string): Promise<void> => {
      if (isOver) return;
      isOver = true;
      if (output !== undefined) await endGroup(child);
      log("server_ended", { how });
      if (this.#child !== child || this.#state.is === "stopped") return;
      if (this.#options.onEnd === undefined) this.#startLater(how, performance.now() - startedAt);
      else {
        this.#state = { is: "stopped" };
        this.#options.onEnd(how);
      }
    };
    child.once("error", ({ message }) => void ended(`could not be run: ${message}`));
    child.once("exit", (status, signal) => {
      void ended(signal === null ? `ended with status ${status}` : `was ended by ${signal}`);
    });
    this.#state = { is: "starting", accepting: this.#waitUntilAccepting(() => isOver) };
  }

  /**
   * Resolves when the server takes connections. Errors: a `NoAnswer` when it does not within `limitMs`, at once while
   * it waits to be started again; the signal's reason.
   */
  async ready(limitMs: number, signal: AbortSignal): Promise<void> {
    const giveUpAt = performance.now() + limitMs;
    while (this.#state.is === "starting") {
      const left = giveUpAt - performance.now();
      const inTime = await raceWithTime(this.#state.accepting, left, signal);
      if (inTime === undefined) throw stillStarting("server_start", "The server is starting", 1);
    }
    if (this.#state.is === "down") {
      const { until, how } = this.#state;
      const seconds = Math.max(1, Math.ceil((until - performance.now()) / 1000));
      throw stillStarting("server_start", `The server ${how} and is started again in ${seconds} s`, seconds);
    }
    if (this.#state.is === "stopped") {
      throw new NoAnswer({ status: 503, error: new CodedError("shutting_down", "The guest is shutting down.") });
    }
  }

  /** SIGTERM, and SIGKILL where that does not end it in time. Resolves when it is gone. */
  async stop(graceMs: number): Promise<void> {
    clearTimeout(this.#restart);
    this.#state = { is: "stopped" };
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
    await gone;
    clearTimeout(timer);
  }

  #startLater(how: string, ranMs: number): void {
    if (ranMs > HEALTHY_MS) this.#backOffMs = FIRST_BACK_OFF_MS;
    this.#state = { is: "down", until: performance.now() + this.#backOffMs, how };
    this.#restart = setTimeout(() => this.start(), this.#backOffMs);
    this.#backOffMs = Math.min(2 * this.#backOffMs, LAST_BACK_OFF_MS);
  }

  /** True when it accepts, false when it ended before. */
  async #waitUntilAccepting(isOver: () => boolean): Promise<boolean> {
    for (let pause = FIRST_POLL_MS; !isOver(); pause = Math.min(1.5 * pause, LAST_POLL_MS)) {
      if (await accepts(this.#options.socketPath)) {
        if (this.#state.is === "starting") this.#state = { is: "up" };
        this.#options.log("server_listening", {});
        return true;
      }
      await delay(pause);
    }
    return false;
  }
}

/** What it started itself ends with it; what it printed last may arrive after its end. */
async function endGroup(child: ChildProcess): Promise<void> {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
  } catch {
    // Nobody is left.
  }
  const ends = [child.stdout, child.stderr].map(
    (stream) =>
      new Promise<void>((resolve) => {
        if (stream === null || stream.closed) resolve();
        else stream.once("close", resolve);
      }),
  );
  await Promise.race([Promise.all(ends), delay(LAST_OUTPUT_MS, undefined, { ref: false })]);
  for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.destroy();
}

/** Undefined when the time is over first. Errors: the signal's reason. */
async function raceWithTime<T>(promise: Promise<T>, ms: number, signal: AbortSignal): Promise<T | undefined> {
  const over = new AbortController();
  const timer = delay(Math.max(0, ms), undefined, { signal: AbortSignal.any([over.signal, signal]) });
  try {
    return await Promise.race([promise, timer]);
  } finally {
    over.abort();
    // The loser's rejection is nobody's.
    timer.catch(() => undefined);
  }
}

async function accepts(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(socketPath);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
