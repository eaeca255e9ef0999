import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { CodedError } from "../src/domain/errors.ts";

interface Holder {
  readonly pid: number;
  /** When the process was started, in the kernel's words: tells it from a later one with the same number. */
  readonly started: string | undefined;
  readonly token: string;
}

const ATTEMPTS = 8;
/** An unreadable lock may be one that is being written this very moment: looked at this often before it is taken. */
const PATIENT_ATTEMPTS = 3;
const RETRY_MS = 50;

/**
 * Takes the data directory for this process. The lock of a process that is gone is taken over. Resolves to its release.
 * Errors: `already_running` with the holder's pid.
 */
export async function acquireLock(directory: string): Promise<() => Promise<void>> {
  const path = join(directory, "lock");
  const own: Holder = { pid: process.pid, started: startOf(process.pid), token: randomUUID() };
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    if (await tryCreate(path, own)) return () => release(path, own.token);
    const holder = await readHolder(path);
    if (holder !== undefined && isAlive(holder)) throw alreadyRunning(directory, holder.pid);
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

async function readHolder(path: string): Promise<Holder | undefined> {
  try {
    const holder = JSON.parse(await readFile(path, "utf8")) as Partial<Holder> | null;
    if (!Number.isSafeInteger(holder?.pid) || holder!.pid! <= 0) return undefined;
    return { pid: holder!.pid!, started: holder!.started, token: String(holder!.token) };
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

async function release(path: string, token: string): Promise<void> {
  if ((await readHolder(path))?.token === token) await rm(path, { force: true });
}

function isAlive({ pid, started }: Holder): boolean {
  if (pid === process.pid) return started === startOf(pid);
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  const now = startOf(pid);
  return started === undefined || now === undefined || now === started;
}

/** Process numbers are given out again, in containers within minutes. Only Linux tells the start time cheaply. */
function startOf(pid: number): string | undefined {
  try {
    // The second field is the name in parentheses and may hold anything; the start time is the 22nd.
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}

function alreadyRunning(directory: string, pid: number): CodedError {
  const message = `another pinference, process ${pid}, uses ${directory}; end it, or give another place with --data-dir`;
  return new CodedError("already_running", message, { details: { pid } });
}
