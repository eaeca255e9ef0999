import { type ChildProcess, spawn } from "node:child_process";
import { Agent } from "node:http";
import { join, posix } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { CodedError } from "../../../src/domain/errors.ts";
import type { Backend, ProgramFiles, RunningProgram } from "./backend.ts";
import { type Extract, ExtractedVolumes, type IsIntact } from "./extracted-volumes.ts";
import {
  connectionError,
  createProgramDirectory,
  type ProgramDirectory,
  removeAbandoned,
} from "./program-directory.ts";
import { programEnvironment } from "./program-environment.ts";
import { ProgramLog } from "./program-log.ts";

export interface ProcessBackendOptions {
  /** Below it: `volumes/<file hash>/` and `logs/<item hash>.log`. */
  readonly dataDir: string;
  readonly extract: Extract;
  readonly isIntact: IsIntact;
  /** Time to accept connections, as long as a CRN gives. */
  readonly readyMs?: number;
  /** From SIGTERM to SIGKILL. */
  readonly graceMs?: number;
}

const READY_MS = 20_000;
const GRACE_MS = 3000;
// Less than the 5 s after which Node's server closes an idle connection, so that this end closes first.
const IDLE_CONNECTION_MS = 3000;
const FIRST_POLL_MS = 5;
const LAST_POLL_MS = 100;
const LOG_LINES_IN_ERROR = 20;

/** Runs programs as child processes of this one: the code volume's server, its volumes behind links. */
export function createProcessBackend(options: ProcessBackendOptions): Backend {
  const { dataDir, extract, isIntact, readyMs = READY_MS, graceMs = GRACE_MS } = options;
  const volumes = new ExtractedVolumes(join(dataDir, "volumes"), extract, isIntact);
  // Housekeeping: no start waits for it, and none fails by it.
  removeAbandoned().catch(() => {});

  async function start(program: ProgramFiles, signal: AbortSignal): Promise<RunningProgram> {
    const entrypoint = checkEntrypoint(program.code.entrypoint);
    const code = await volumes.directoryOf(program.code, signal);
    const mounts = [{ mount: program.code.mount, directory: code }];
    for (const volume of program.volumes) {
      mounts.push({ mount: volume.mount, directory: await volumes.directoryOf(volume, signal) });
    }
    signal.throwIfAborted();

    const directory = await createProgramDirectory(mounts);
    const log = new ProgramLog(join(dataDir, "logs", `${program.itemHash}.log`));
    const child = spawnProgram(program, join(code, entrypoint), directory);
    const running = superviseChild(child, directory, log, graceMs);
    try {
      await waitUntilReady(running, readyMs, signal);
    } catch (error) {
      await running.stop();
      if (signal.aborted) throw error;
      const lines = log.lastLines(LOG_LINES_IN_ERROR);
      const reason = error instanceof Error ? error.message : String(error);
      throw new CodedError("program_failed", lines === "" ? reason : `${reason}. Its last lines:\n${lines}`);
    }
    return running;
  }

  return { name: "process", start };
}

function spawnProgram(program: ProgramFiles, script: string, { root, socketPath }: ProgramDirectory): ChildProcess {
  return spawn(process.execPath, [script], {
    cwd: root,
    env: programEnvironment(program, { socketPath, rootDirectory: root }),
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
  graceMs: number,
): RunningProgram {
  const agent = new Agent({ keepAlive: true, timeout: IDLE_CONNECTION_MS });
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
    signalGroup(child, "SIGKILL");
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
    signalGroup(child, "SIGTERM");
    const timer = setTimeout(() => signalGroup(child, "SIGKILL"), graceMs);
    await cleaned;
    clearTimeout(timer);
  }
  return { agent, socketPath: directory.socketPath, exited: ended, stop };
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

function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch (error) {
    // Gone, or on macOS: gone but not yet collected.
    if (!["ESRCH", "EPERM"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}

/** Resolves when the socket takes a connection. Errors: says why it will not. */
async function waitUntilReady(program: RunningProgram, readyMs: number, signal: AbortSignal): Promise<void> {
  const giveUpAt = performance.now() + readyMs;
  let exit: string | undefined;
  void program.exited.then((how) => (exit = how));
  for (
    let pause = FIRST_POLL_MS;
    (await connectionError(program.socketPath)) !== undefined;
    pause = Math.min(pause * 1.5, LAST_POLL_MS)
  ) {
    if (exit !== undefined) throw new Error(`it ${exit} before it accepted connections`);
    if (performance.now() > giveUpAt) throw new Error(`it accepted no connection within ${readyMs / 1000} s`);
    await delay(pause, undefined, { signal });
  }
}

/** Errors: `program_failed` when it would leave the code volume. */
function checkEntrypoint(entrypoint: string): string {
  const normal = posix.normalize(entrypoint);
  if (entrypoint === "" || posix.isAbsolute(normal) || normal.split("/").includes("..") || normal.includes("\0")) {
    throw new CodedError("program_failed", `"${entrypoint}" is not a path inside the code volume`);
  }
  return normal;
}
