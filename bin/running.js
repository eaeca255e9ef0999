// Which commands run from this build, so that the next one does not take their files away.
import { mkdirSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";

const FOLDER = new URL("../dist/.running/", import.meta.url);
const BEAT_MS = 10_000;
/** A mark older than this is that of a process which was killed, even if another has its number now. */
const STALE_MS = 60_000;

/** Until this process ends. */
export function markRunning() {
  const mark = new URL(String(process.pid), FOLDER);
  try {
    mkdirSync(FOLDER, { recursive: true });
    writeFileSync(mark, "");
  } catch {
    // Who cannot write here cannot build here either.
    return;
  }
  setInterval(() => {
    const now = new Date();
    try {
      utimesSync(mark, now, now);
    } catch {
      // A missed beat does no harm.
    }
  }, BEAT_MS).unref();
  process.once("exit", () => rmSync(mark, { force: true }));
}

/** Process numbers. */
export function runningCommands() {
  let names = [];
  try {
    names = readdirSync(FOLDER);
  } catch {
    // Never built, or nothing was started since.
  }
  return names
    .toSorted()
    .filter((name) => isFresh(new URL(name, FOLDER)) && isAlive(Number(name)))
    .map(Number);
}

function isFresh(mark) {
  const { mtimeMs } = statSync(mark, { throwIfNoEntry: false }) ?? { mtimeMs: 0 };
  return Date.now() - mtimeMs < STALE_MS;
}

function isAlive(pid) {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // Another user's.
    return error.code === "EPERM";
  }
}
