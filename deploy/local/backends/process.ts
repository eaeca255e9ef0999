import { type ChildProcess, spawn } from "node:child_process";
import { Agent } from "node:http";
import { createConnection } from "node:net";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { CodedError } from "../../../src/domain/errors.ts";
import { configureGuest, haltGuest, listenForReady, READY_MS, SetupFailed, SetupRefused } from "../guest-connection.ts";
import { type Backend, deviceName, type ProgramFiles, type RunningProgram, toConfiguration } from "./backend.ts";
import { type Extract, ExtractedVolumes, type IsIntact } from "./extracted-volumes.ts";
import {
  connectionError,
  createProgramDirectory,
  type ProgramDirectory,
  removeAbandoned,
} from "./program-directory.ts";
import { ProgramLog } from "./program-log.ts";

export interface ProcessBackendOptions {
  /** Below it: `volumes/<file hash>/` and `logs/<item hash>.log`. */
  readonly dataDir: string;
  readonly extract: Extract;
  readonly isIntact: IsIntact;
  /**
   * True: as in a VM of the network, where a start is over before the server's, and a server that ends is started
   * again. False: a start waits for the server, and a program ends with it, which tells a person at once what is wrong.
   */
  readonly asNetwork: boolean;
  /** For the ready message, and by default for the server to accept connections. */
  readonly readyMs?: number;
  /** From the request to end to SIGKILL. */
  readonly graceMs?: number;
}

const GRACE_MS = 5000;
// Less than the 5 s after which Node's server closes an idle connection, so that this end closes first.
const IDLE_CONNECTION_MS = 3000;
const FIRST_POLL_MS = 2;
const LAST_POLL_MS = 25;
// Of that time: the guest ends after its server.
const SERVER_SHARE = 0.6;
const GROUP_END_MS = 500;
const LOG_LINES_IN_ERROR = 20;

/** The guest init of this build: what a VM has in its runtime image. */
const GUEST_INIT = fileURLToPath(new URL("../../../src/guest/init.js", import.meta.url));

/** Runs the guest init as a child process of this one, its volumes behind links; it runs the code volume's server. */
export function createProcessBackend(options: ProcessBackendOptions): Backend {
  const { dataDir, extract, isIntact, asNetwork, readyMs = READY_MS, graceMs = GRACE_MS } = options;
  const volumes = new ExtractedVolumes(join(dataDir, "volumes"), extract, isIntact);
  // Housekeeping: no start waits for it, and none fails by it.
  removeAbandoned().catch(() => {});

  async function start(program: ProgramFiles, signal: AbortSignal): Promise<RunningProgram> {
    const mounts = [];
    for (const [at, image] of [program.code, ...program.volumes].entries()) {
      const directory = await volumes.directoryOf(image, signal);
      mounts.push({ mount: image.mount, directory, device: deviceName(at), imagePath: image.path });
    }
    signal.throwIfAborted();

    const directory = await createProgramDirectory(mounts);
    const log = new ProgramLog(join(dataDir, "logs", `${program.itemHash}.log`));
    const listener = await listenForReady(directory.hostSocket);
    const child = spawnGuest(program, directory, { asNetwork, stopMs: Math.ceil(graceMs * SERVER_SHARE) });
    const running = superviseChild(child, directory, log, { graceMs, asNetwork });
    try {
      await within(readyMs, listener.ready, running, "did not say that it is ready", signal);
      await Promise.race([configureGuest(running.connect, toConfiguration(program), signal), failWhenOver(running)]);
      if (!asNetwork) await waitForServer(directory.serverSocket, running, readyMs, signal);
    } catch (error) {
      await running.stop();
      if (signal.aborted || error instanceof SetupRefused || error instanceof SetupFailed) throw error;
      const lines = log.lastLines(LOG_LINES_IN_ERROR);
      const reason = error instanceof Error ? error.message : String(error);
      throw new CodedError("program_failed", lines === "" ? reason : `${reason}. Its last lines:\n${lines}`);
    } finally {
      await listener.close();
    }
    return running;
  }

  return { name: "process", start };
}

/** Nothing of this process's environment but PATH, so none of its secrets. */
function spawnGuest(
  { resources }: ProgramFiles,
  directory: ProgramDirectory,
  { asNetwork, stopMs }: { readonly asNetwork: boolean; readonly stopMs: number },
): ChildProcess {
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
      PINFERENCE_GUEST_STOP_MS: String(stopMs),
      PINFERENCE_GUEST_ENDS_WITH_SERVER: asNetwork ? "0" : "1",
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

function superviseChild(
  child: ChildProcess,
  directory: ProgramDirectory,
  log: ProgramLog,
  { graceMs, asNetwork }: { readonly graceMs: number; readonly asNetwork: boolean },
): RunningProgram {
  const agent = new Agent({ keepAlive: true, timeout: IDLE_CONNECTION_MS });
  const connect = () => createConnection(directory.guestSocket);
  child.stdin?.on("error", () => {});
  child.stdout?.on("data", (chunk: Buffer) => log.write(chunk));
  child.stderr?.on("data", (chunk: Buffer) => log.write(chunk));

  const ended = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(`could not be run: ${error.message}`));
    child.once("exit", (status, signal) => {
      resolve(signal === null ? `ended with status ${status}` : `was ended by ${signal}`);
    });
  });
  let isOver = false;
  // What it started itself ends with it: nobody else would end it.
  async function cleanUp(): Promise<void> {
    await ended;
    await endGroup(child);
    isOver = true;
    agent.destroy();
    await drained(child);
    log.close();
    await directory.remove();
  }
  const cleaned = cleanUp();

  async function stop(): Promise<void> {
    // Its process id may already belong to somebody else.
    if (isOver) return cleaned;
    const timer = setTimeout(() => signalGroup(child, "SIGKILL"), graceMs);
    // A guest that cannot be reached any more, or not yet.
    if (!(await haltGuest(connect, graceMs))) signalGroup(child, "SIGTERM");
    await cleaned;
    clearTimeout(timer);
  }
  const http = asNetwork ? undefined : { agent, socketPath: directory.serverSocket };
  return { connect, http, exited: ended, stop };
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

/** Resolves when the server takes connections. Errors: says why it does not. */
async function waitForServer(
  socketPath: string,
  running: RunningProgram,
  limitMs: number,
  signal: AbortSignal,
): Promise<void> {
  const over = new AbortController();
  try {
    await within(limitMs, pollServer(socketPath, over.signal), running, "accepted no connection", signal);
  } finally {
    over.abort();
  }
}

async function pollServer(socketPath: string, over: AbortSignal): Promise<void> {
  for (let pause = FIRST_POLL_MS; !over.aborted; pause = Math.min(pause * 1.5, LAST_POLL_MS)) {
    if ((await connectionError(socketPath)) === undefined) return;
    await delay(pause);
  }
}

/** Errors: when the time, or the program, or the wish for it is over first. */
async function within(
  limitMs: number,
  done: Promise<void>,
  running: RunningProgram,
  failure: string,
  signal: AbortSignal,
): Promise<void> {
  const over = new AbortController();
  const stop = (): void => over.abort();
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  const late = delay(limitMs, undefined, { signal: over.signal }).then(
    () => {
      throw new Error(`it ${failure} within ${limitMs / 1000} s`);
    },
    () => signal.throwIfAborted(),
  );
  late.catch(() => undefined);
  try {
    await Promise.race([done, late, failWhenOver(running)]);
  } finally {
    stop();
    signal.removeEventListener("abort", stop);
  }
}

async function failWhenOver({ exited }: RunningProgram): Promise<never> {
  throw new Error(`it ${await exited} before it accepted connections`);
}
