import { Agent } from "node:http";
import { createConnection } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { CodedError } from "../../../src/domain/errors.ts";
import { configureGuest, READY_MS, SetupFailed, SetupRefused } from "../guest-connection.ts";
import { type Backend, deviceName, type ProgramFiles, type RunningProgram, toConfiguration } from "./backend.ts";
import { type Extract, ExtractedVolumes, type IsIntact } from "./extracted-volumes.ts";
import { startGuestProcess } from "./guest-process.ts";
import { startGuestWithin } from "./guest-within.ts";
import { connectionError, createProgramDirectory, removeAbandoned } from "./program-directory.ts";
import { ProgramLog } from "./program-log.ts";

export interface ProcessBackendOptions {
  /** Below it: `volumes/<file hash>/` and `logs/<item hash>.log`. */
  readonly dataDir: string;
  readonly extract: Extract;
  readonly isIntact: IsIntact;
  /**
   * True: as in a VM of the network, the guest init is a process, a start is over before the server's, and a server
   * that ends is started again. False: the guest is a part of this process, a start waits for the server, and a program
   * ends with it, which tells a person at once what is wrong.
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
const LOG_LINES_IN_ERROR = 20;

/** Runs the guest without a machine of its own: its volumes are behind links, its server is a process here. */
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
    const startGuest = asNetwork ? startGuestProcess : startGuestWithin;
    const guest = await startGuest({ program, directory, log, graceMs });
    const agent = new Agent({ keepAlive: true, timeout: IDLE_CONNECTION_MS });
    const cleanUp = async (): Promise<void> => {
      await guest.gone;
      agent.destroy();
      log.close();
      await directory.remove();
    };
    const cleaned = cleanUp();
    const running: RunningProgram = {
      connect: () => createConnection(directory.guestSocket),
      http: asNetwork ? undefined : { agent, socketPath: directory.serverSocket },
      exited: guest.exited,
      stop: async () => {
        await guest.stop();
        await cleaned;
      },
    };
    try {
      await within(readyMs, guest.ready, running, "did not say that it is ready", signal);
      await Promise.race([configureGuest(running.connect, toConfiguration(program), signal), failWhenOver(running)]);
      if (!asNetwork) await waitForServer(directory.serverSocket, running, readyMs, signal);
    } catch (error) {
      await running.stop();
      if (signal.aborted || error instanceof SetupRefused || error instanceof SetupFailed) throw error;
      const lines = log.lastLines(LOG_LINES_IN_ERROR);
      const reason = error instanceof Error ? error.message : String(error);
      throw new CodedError("program_failed", lines === "" ? reason : `${reason}. Its last lines:\n${lines}`);
    }
    return running;
  }

  return { name: "process", start, collect: (named) => volumes.collect(named) };
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
