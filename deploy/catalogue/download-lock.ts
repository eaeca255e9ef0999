/** Lets one process at a time write a file. A holder that was killed is recognised and replaced. */
import { randomUUID } from "node:crypto";
import { link, open, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import { hostname } from "node:os";
import { basename } from "node:path";

import { CodedError } from "../../src/domain/errors.ts";

/** The holder shows this often that it lives, for those who cannot see its process: another machine, a container. */
const HEARTBEAT_MS = 15_000;
const STALE_MS = 120_000;

export interface DownloadLock {
  release(): Promise<void>;
}

/** Errors: `already_running`, with the process that holds it. */
export async function lockDownload(path: string): Promise<DownloadLock> {
  const lockPath = `${path}.lock`;
  // Twice: the first finds a stale lock, the second must succeed unless somebody else was faster.
  for (let attempt = 0; attempt < 2; attempt++) {
    if (await create(lockPath)) return hold(lockPath);
    const holder = await readHolder(lockPath);
    if (holder === undefined) continue;
    if (!(await isStale(lockPath, holder))) throw heldBy(path, holder);
    await removeStale(lockPath, holder.text);
  }
  throw heldBy(path, await readHolder(lockPath));
}

interface Holder {
  readonly text: string;
  readonly pid: number;
  readonly host: string;
}

async function create(lockPath: string): Promise<boolean> {
  try {
    const file = await open(lockPath, "wx");
    try {
      await file.writeFile(`${process.pid} ${hostname()} ${randomUUID()}\n`);
    } finally {
      await file.close();
    }
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function hold(lockPath: string): DownloadLock {
  const beat = setInterval(() => {
    const now = new Date();
    // A missed beat does no harm.
    utimes(lockPath, now, now).catch(() => {});
  }, HEARTBEAT_MS);
  beat.unref();
  return {
    async release() {
      clearInterval(beat);
      await rm(lockPath, { force: true });
    },
  };
}

async function readHolder(lockPath: string): Promise<Holder | undefined> {
  try {
    const text = await readFile(lockPath, "utf8");
    const [pid = "", host = ""] = text.trim().split(" ");
    return { text, pid: Number(pid), host };
  } catch {
    return undefined;
  }
}

async function isStale(lockPath: string, holder: Holder): Promise<boolean> {
  const { mtimeMs } = await stat(lockPath).catch(() => ({ mtimeMs: 0 }));
  if (Date.now() - mtimeMs > STALE_MS) return true;
  // An empty lock is being written just now, or its writer was killed meanwhile: the time above decides.
  return holder.host === hostname() && holder.pid > 0 && !isAlive(holder.pid);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Moved away first and looked at again, so that a lock taken meanwhile by somebody else is put back. */
async function removeStale(lockPath: string, expected: string): Promise<void> {
  const aside = `${lockPath}.${randomUUID()}`;
  try {
    await rename(lockPath, aside);
    if ((await readFile(aside, "utf8")) !== expected) await link(aside, lockPath);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENOENT" && code !== "EEXIST") throw error;
  } finally {
    await rm(aside, { force: true });
  }
}

function heldBy(path: string, holder: Holder | undefined): CodedError {
  const process =
    holder === undefined || !(holder.pid > 0) ? "another process" : `process ${holder.pid} on ${holder.host}`;
  return new CodedError(
    "already_running",
    `${basename(path)} is being downloaded by ${process}. Wait for it, or end it and run the same command again.`,
  );
}
