import { type ChildProcess, spawn } from "node:child_process";
import { createConnection } from "node:net";
import { availableParallelism } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { haltGuest, listenForReady } from "../guest-connection.ts";
import type { ProgramFiles } from "./backend.ts";
import type { ProgramDirectory } from "./program-directory.ts";
import type { ProgramLog } from "./program-log.ts";

export interface GuestStart {
  readonly program: ProgramFiles;
  readonly directory: ProgramDirectory;
  readonly log: ProgramLog;
  /** From the request to end to SIGKILL. */
  readonly graceMs: number;
}

/** A guest that is there, not yet configured. */
export interface StartedGuest {
  /** Resolves when it takes exchanges at its socket. */
  readonly ready: Promise<void>;
  /** Resolves when it has ended, with a sentence that says why. */
  readonly exited: Promise<string>;
  /** Resolves when nothing of it is left. */
  readonly gone: Promise<void>;
  /** Ends it, politely first; resolves when it has ended. */
  stop(): Promise<void>;
}

// The guest ends after its server, and before it is killed.
const SERVER_SHARE = 0.6;
const GROUP_END_MS = 500;

/** The guest init of this build: what a VM has in its runtime image. */
const GUEST_INIT = fileURLToPath(new URL("../../../src/guest/init.js", import.meta.url));

/** Runs the guest init as a child process of this one. */
export async function startGuestProcess(start: GuestStart): Promise<StartedGuest> {
  const { directory, log, graceMs } = start;
  const connect = () => createConnection(directory.guestSocket);
  const listener = await listenForReady(directory.hostSocket);
  const child = spawnGuest(start);
  child.stdin?.on("error", () => {});
  child.stdout?.on("data", (chunk: Buffer) => log.write(chunk));
  child.stderr?.on("data", (chunk: Buffer) => log.write(chunk));

  const exited = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(`could not be run: ${error.message}`));
    child.once("exit", (status, signal) => {
      resolve(signal === null ? `ended with status ${status}` : `was ended by ${signal}`);
    });
  });
  let isOver = false;
  // What it started itself ends with it: nobody else would end it.
  async function cleanUp(): Promise<void> {
    await exited;
    await endGroup(child);
    isOver = true;
    await drained(child);
    await listener.close();
  }
  const gone = cleanUp();

  async function stop(): Promise<void> {
    // Its process id may already belong to somebody else.
    if (isOver) return gone;
    const timer = setTimeout(() => signalGroup(child, "SIGKILL"), graceMs);
    // A guest that cannot be reached any more, or not yet.
    if (!(await haltGuest(connect, graceMs))) signalGroup(child, "SIGTERM");
    await gone;
    clearTimeout(timer);
  }
  return { ready: listener.ready, exited, gone, stop };
}

/** Nothing of this process's environment but PATH, so none of its secrets. */
function spawnGuest({ program: { resources }, directory, graceMs }: GuestStart): ChildProcess {
  return spawn(process.execPath, [GUEST_INIT], {
    cwd: directory.root,
    env: {
      PATH: process.env["PATH"] ?? "/usr/bin:/bin",
      NODE_ENV: "production",
      PINFERENCE_GUEST_SOCKET: directory.guestSocket,
      PINFERENCE_HOST_SOCKET: directory.hostSocket,
      PINFERENCE_GUEST_DEVICES: directory.devices,
      PINFERENCE_GUEST_ROOT: directory.root,
      PINFERENCE_GUEST_MOUNTED: "1",
      PINFERENCE_GUEST_STOP_MS: String(Math.ceil(graceMs * SERVER_SHARE)),
      PINFERENCE_THREADS: String(Math.min(resources.vcpus, availableParallelism())),
      PINFERENCE_MEMORY_MIB: String(resources.memoryMiB),
      PINFERENCE_EXIT_WITH_PARENT: "1",
    },
    // A group of its own: Ctrl-C in the terminal reaches this process alone, which then ends its programs in order.
    detached: true,
    // Standard input stays open, with nothing in it, for as long as this process lives.
    stdio: ["pipe", "pipe", "pipe"],
  });
}

/** The output can arrive after the end; a grandchild that holds the pipe must not hold us. */
async function drained(child: ChildProcess): Promise<void> {
  const ends = [child.stdout, child.stderr].map(
    (stream) =>
      new Promise<void>((resolve) => {
        if (stream === null || stream.closed) resolve();
        else stream.once("close", resolve);
      }),
  );
  await Promise.race([Promise.all(ends), delay(200, undefined, { ref: false })]);
  child.stdin?.destroy();
  child.stdout?.destroy();
  child.stderr?.destroy();
}

/** Kills what is left of it, and waits a while: these are not our children, so nobody tells when they are gone. */
async function endGroup(child: ChildProcess): Promise<void> {
  const giveUpAt = performance.now() + GROUP_END_MS;
  while (signalGroup(child, "SIGKILL") && performance.now() < giveUpAt) await delay(2);
}

/** False when nobody is left to get it. */
function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): boolean {
  if (pid === undefined) return false;
  try {
    return process.kill(-pid, signal);
  } catch (error) {
    // Gone, or on macOS: gone but not yet collected.
    if (!["ESRCH", "EPERM"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    return false;
  }
}
