import { readFileSync } from "node:fs";

/** The largest resident size of a process so far, in MiB; 0 where it cannot be told. Linux only. */
export function mostMemoryMiB(pid: number): number {
  try {
    const kib = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
    return Math.round(Number(kib ?? 0) / 1024);
  } catch {
    return 0;
  }
}
