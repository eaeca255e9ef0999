import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";

/** A file system of its own, where this machine allows it; else why not. */
export function mountTmpfs(path: string, options: string): { unmount(): void } | string {
  mkdirSync(path);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", path], { stdio: "ignore" });
  } catch {
    return "needs the right to mount a tmpfs";
  }
  return { unmount: () => void execFileSync("umount", [path]) };
}
