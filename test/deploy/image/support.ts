/** What the image tests share: temporary folders, small plans, and the operating system's own squashfs tools. */
import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";

import { EXECUTABLE_MODE, FILE_MODE, planImage, type ImagePlan, type PlanEntry } from "../../../deploy/image/plan.ts";

export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "pinference-image-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export function file(path: string, content: string | Uint8Array, mode = FILE_MODE): PlanEntry {
  return { path, mode, content: { kind: "bytes", content: Buffer.from(content) } };
}

export function directory(path: string): PlanEntry {
  return { path, mode: 0o755, content: { kind: "directory" } };
}

export function link(path: string, target: string): PlanEntry {
  return { path, mode: 0o777, content: { kind: "symlink", target } };
}

/** Bytes that look random and are the same everywhere: xorshift32. */
export function noise(bytes: number, seed = 1): Buffer {
  const buffer = Buffer.alloc(Math.ceil(bytes / 4) * 4);
  let state = seed;
  for (let at = 0; at < buffer.byteLength; at += 4) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    buffer.writeInt32LE(state, at);
  }
  return buffer.subarray(0, bytes);
}

/** A bit of everything that the format has to represent. */
export function variedPlan(): ImagePlan {
  return planImage([
    file("empty", ""),
    file("text", "hello world\n"),
    file("run.sh", "#!/bin/sh\nexit 0\n", EXECUTABLE_MODE),
    file("block-minus-one", noise(131_071)),
    file("block", noise(131_072)),
    file("block-plus-one", noise(131_073)),
    file("shrinks", "abc".repeat(100_000)),
    file("zeros", Buffer.alloc(300_000)),
    file("zeros-inside", Buffer.concat([noise(131_072), Buffer.alloc(262_144), noise(10)])),
    file("zeros-at-end", Buffer.concat([noise(131_072), Buffer.alloc(1000)])),
    file("several-chunks", noise(5 * 1024 * 1024, 7)),
    directory("empty-directory"),
    file(`${"deep/".repeat(100)}file`, "deep\n"),
    file("größe/\u{1f600}/文件", "utf-8\n"),
    file("x".repeat(255), "a long name\n"),
    link("link", "text"),
    link("größe/up", "../text"),
    file("private", "secret\n", 0o600),
  ]);
}

/** Undefined when the tool is there, else why a test that needs it is skipped. */
export function missingTool(name: string): string | false {
  try {
    execFileSync(name, ["-version"], { stdio: "ignore" });
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT" ? `${name} is not installed` : false;
  }
}

/** False when images can be mounted here, else why not. */
export function cannotMount(): string | false {
  if (process.platform !== "linux") return "mounting needs Linux";
  if (process.getuid?.() !== 0) return "mounting needs root";
  return false;
}
