/** Runs programs in virtual machines of QEMU, booted from the images that the PROGRAM message names. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { access, constants, mkdtemp, rm } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { availableParallelism, tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { CodedError } from "../../../../src/domain/errors.ts";
import {
  configureGuest,
  haltGuest,
  listenForReady,
  READY_MS,
  SETUP_MS,
  SetupFailed,
  SetupRefused,
} from "../../guest-connection.ts";
import { type Backend, type ProgramFiles, type RunningProgram, toConfiguration } from "../backend.ts";
import { ProgramLog } from "../program-log.ts";
import { findAccelerator } from "./accelerator.ts";
import { connectInTurn } from "./connect-in-turn.ts";
import { type Accelerator, type Kernel, programMachine } from "./qemu.ts";

/** What programs are booted with. */
export interface Machine {
  readonly qemu: string;
  readonly kernel: Kernel;
  readonly accelerator: Accelerator;
}

const QEMU = "qemu-system-x86_64";
/** An emulated processor is about ten times slower, so it gets ten times what a CRN gives. */
const PATIENCE: Readonly<Record<Accelerator, number>> = { kvm: 1, tcg: 10 };
const GRACE_MS = 10_000;
const LOG_LINES_IN_ERROR = 20;
/** Another process may take a port between its choice and QEMU's start. */
const PORT_TRIES = 3;
const PORT_TAKEN = /Could not set up host forwarding/;

/**
 * Finds QEMU and what it runs on. Errors: `not_supported` where it is not installed; those of `prepareKernel`;
 * `interrupted`.
 */
export async function prepareMachine(
  prepareKernel: (signal: AbortSignal) => Promise<Kernel>,
  signal: AbortSignal,
): Promise<Machine> {
  const qemu = await findProgram(QEMU);
  if (qemu === undefined) {
    const message = `programs run in virtual machines of ${QEMU}, which is not installed (Debian: qemu-system-x86)`;
    throw new CodedError("not_supported", `${message}. Install it, or leave out --vm`);
  }
  const kernel = await prepareKernel(signal);
  const accelerator = await findAccelerator(qemu, kernel, signal);
  signal.throwIfAborted();
  return { qemu, kernel, accelerator };
}

/** Below `dataDir`: `logs/<item hash>.log`, with what a machine prints. */
export function createMicrovmBackend(machine: Machine, dataDir: string): Backend {
  async function start(program: ProgramFiles, signal: AbortSignal): Promise<RunningProgram> {
    for (let tries = 1; ; tries += 1) {
      const log = new ProgramLog(join(dataDir, "logs", `${program.itemHash}.log`));
      try {
        return await boot(machine, program, log, signal);
      } catch (error) {
        const lines = log.lastLines(LOG_LINES_IN_ERROR);
        if (PORT_TAKEN.test(lines) && tries < PORT_TRIES && !signal.aborted) continue;
        if (signal.aborted || error instanceof SetupRefused || error instanceof SetupFailed) throw error;
        const reason = error instanceof Error ? error.message : String(error);
        throw new CodedError("program_failed", lines === "" ? reason : `${reason}. Its last lines:\n${lines}`);
      }
    }
  }

  return { name: "microvm", start };
}

/** Resolves when the guest is configured. */
async function boot(
  { qemu, kernel, accelerator }: Machine,
  program: ProgramFiles,
  log: ProgramLog,
  signal: AbortSignal,
): Promise<RunningProgram> {
  const { runtime, code, volumes, resources } = program;
  const guestPort = await freePort();
  const directory = await mkdtemp(join(tmpdir(), "pinference-vm-"));
  const readySocket = join(directory, "ready");
  const listener = await listenForReady(readySocket);
  let running: RunningProgram | undefined;
  try {
    const args = programMachine({
      accelerator,
      kernel,
      vcpus: Math.min(resources.vcpus, availableParallelism()),
      memoryMiB: resources.memoryMiB,
      disks: [runtime, code, ...volumes].map(({ path }) => path),
      guestPort,
      readySocket,
    });
    running = supervise(await spawnWithUs(qemu, args), guestPort, log);
    const patience = PATIENCE[accelerator];
    await whileRunning(running, listener.ready, READY_MS * patience, signal);
    const configured = configureGuest(running.connect, toConfiguration(program), signal, SETUP_MS * patience);
    await whileRunning(running, configured, SETUP_MS * patience, signal);
    return running;
  } catch (error) {
    await running?.stop();
    throw error;
  } finally {
    await listener.close();
    await rm(directory, { recursive: true, force: true });
  }
}

/** A machine that outlives this process, should it be killed, would run for ever: the kernel ends it too. */
async function spawnWithUs(qemu: string, args: readonly string[]): Promise<ChildProcess> {
  const setpriv = await findProgram("setpriv");
  const [program, before] = setpriv === undefined ? [qemu, []] : [setpriv, ["--pdeathsig", "KILL", "--", qemu]];
  // A group of its own: Ctrl-C in the terminal reaches this process alone, which then ends its programs in order.
  return spawn(program, [...before, ...args], { detached: true, stdio: ["ignore", "pipe", "pipe"] });
}

function supervise(child: ChildProcess, guestPort: number, log: ProgramLog): RunningProgram {
  child.stdout?.on("data", (chunk: Buffer) => log.write(chunk));
  child.stderr?.on("data", (chunk: Buffer) => log.write(chunk));
  const exited = new Promise<string>((resolve) => {
    child.once("error", ({ message }) => resolve(`could not be run: ${message}`));
    child.once("close", (status, signal) => {
      log.close();
      resolve(signal === null ? `ended with status ${status}` : `was ended by ${signal}`);
    });
  });
  let isOver = false;
  void exited.then(() => (isOver = true));
  const connect = connectInTurn(guestPort);

  async function stop(): Promise<void> {
    if (!isOver && !(await haltGuest(connect, GRACE_MS))) child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), GRACE_MS);
    await exited;
    clearTimeout(timer);
  }
  return { connect, http: undefined, exited, stop };
}

/** Errors: when the time, or the machine, or the wish for it is over first. */
async function whileRunning(
  { exited }: RunningProgram,
  done: Promise<void>,
  limitMs: number,
  signal: AbortSignal,
): Promise<void> {
  const over = new AbortController();
  const late = delay(limitMs, undefined, { signal: AbortSignal.any([over.signal, signal]) }).then(
    () => Promise.reject(new Error(`the virtual machine was not ready within ${limitMs / 1000} s`)),
    () => signal.throwIfAborted(),
  );
  const ended = exited.then((how) => Promise.reject(new Error(`the virtual machine ${how} before it was ready`)));
  // Whichever comes second is nobody's.
  for (const loser of [late, ended, done]) loser.catch(() => undefined);
  try {
    await Promise.race([done, late, ended]);
  } finally {
    over.abort();
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function findProgram(name: string): Promise<string | undefined> {
  for (const directory of (process.env["PATH"] ?? "").split(delimiter)) {
    const path = join(directory, name);
    const isThere = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (directory !== "" && isThere) return path;
  }
  return undefined;
}
