/**
 * Lets one process at a time use something that a lock file stands for. The lock of a holder that is gone is taken over:
 * on this machine its process tells, elsewhere (another machine, a container) the heartbeat that it no longer shows.
 */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { setTimeout as delay } from "node:timers/promises";

import { CodedError } from "../../src/domain/errors.ts";

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** When the process was started, in the kernel's words: tells it from a later one with the same number. */
  readonly started: string | undefined;
  readonly token: string;
}

const ATTEMPTS = 8;
/** An unreadable lock may be one that is being written this very moment: looked at this often before it is taken. */
const PATIENT_ATTEMPTS = 3;
const RETRY_MS = 50;
/** The holder shows this often that it lives, for those who cannot see its process. */
const HEARTBEAT_MS = 15_000;
const STALE_MS = 120_000;

/**
 * Resolves to the lock's release. `heldBy` words the refusal while another process has it.
 * Errors: that of `heldBy`; `data_directory` where the file can neither be made nor removed.
 */
export async function takeLock(path: string, heldBy: (holder: Holder) => CodedError): Promise<() => Promise<void>> {
  const own: Holder = { pid: process.pid, host: hostname(), started: startOf(process.pid), token: randomUUID() };
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    if (await tryCreate(path, own)) return hold(path, own.token);
    const holder = await readHolder(path);
    if (holder !== undefined && (await isHeld(path, holder))) throw heldBy(holder);
    if (holder === undefined && attempt <= PATIENT_ATTEMPTS) await delay(RETRY_MS);
    else await removeStale(path, holder?.token);
  }
  throw new CodedError("data_directory", `the lock file ${path} cannot be taken; remove it and try again`);
}

async function tryCreate(path: string, own: Holder): Promise<boolean> {
  try {
    await writeFile(path, `${JSON.stringify(own)}\n`, { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function hold(path: string, token: string): () => Promise<void> {
  const beat = setInterval(() => {
    const now = new Date();
    // A missed beat does no harm.
    utimes(path, now, now).catch(() => undefined);
  }, HEARTBEAT_MS);
  beat.unref();
  return async () => {
    clearInterval(beat);
    if ((await readHolder(path))?.token === token) await rm(path, { force: true });
  };
}

/** Undefined where there is none, or none that can be read. */
async function readHolder(path: string): Promise<Holder | undefined> {
  try {
    const { pid, host, started, token } = JSON.parse(await readFile(path, "utf8")) as Partial<Holder>;
    if (!Number.isSafeInteger(pid) || pid! <= 0) return undefined;
    return { pid: pid!, host: host ?? hostname(), started, token: String(token) };
  } catch {
    return undefined;
  }
}

async function isHeld(path: string, { pid, host, started }: Holder): Promise<boolean> {
  if (host === hostname()) return isAlive(pid, started);
  const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: 0 }));
  return Date.now() - mtimeMs < STALE_MS;
}

function isAlive(pid: number, started: string | undefined): boolean {
  const now = startOf(pid);
  if (pid === process.pid) return started === now;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  return started === undefined || now === undefined || now === started;
}

/** Process numbers are given out again, in containers within minutes. Only Linux tells the start time cheaply. */
function startOf(pid: number): string | undefined {
  try {
    // The second field is the name in parentheses and may hold anything; the start time is the 22nd.
    const line = readFileSync(`/proc/${pid}/stat`, "latin1");
    return line.slice(line.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}

/** Moves the lock away before deleting it, so that of two processes that found it stale only one removes it. */
async function removeStale(path: string, token: string | undefined): Promise<void> {
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch {
    return;
  }
  const moved = await readHolder(aside);
  if (moved?.token === token) await rm(aside, { force: true });
  // Another process was quicker: this is its new lock.
  else await rename(aside, path);
}
