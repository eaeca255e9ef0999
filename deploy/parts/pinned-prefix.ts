import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { CodedError } from "../../src/domain/errors.ts";
import { PINNED_FORMAT } from "../../src/domain/pinned-prefix.ts";
import type { LocalModel } from "../commands/parts.ts";

const run = promisify(execFile);

/** What decides on the bytes, besides the model. */
export function prefixKey(prompt: string, packageRoot: string): object {
  const { dependencies } = JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")) as {
    readonly dependencies: Readonly<Record<string, string>>;
  };
  return { prompt, library: dependencies["node-llama-cpp"], format: PINNED_FORMAT };
}

/**
 * Has a model's pinned system prompt evaluated into a directory, which lasts as long as `use`; undefined for a model
 * without one. Takes minutes for a long prompt: the same to the last bit on all x86-64 processors, and slower for it.
 * Errors: `not_supported` with what the engine says; `interrupted`.
 */
export async function withPrefix<Result>(
  { path, sha256, pinnedPrompt }: LocalModel,
  packageRoot: string,
  directory: string,
  signal: AbortSignal | undefined,
  use: (directory: string | undefined) => Promise<Result>,
): Promise<Result> {
  if (pinnedPrompt === undefined) return use(undefined);
  const threads = availableParallelism();
  const request = { modelPath: path, modelSha256: sha256, systemPrompt: pinnedPrompt, threads, directory };
  try {
    // A process of its own: it computes with other instructions, and with one thread of libuv.
    const running = run(process.execPath, [join(packageRoot, "dist", "src", "pin-prefix.js")], {
      env: { ...process.env, UV_THREADPOOL_SIZE: "1" },
      ...(signal && { signal }),
    });
    running.child.stdin?.end(JSON.stringify(request));
    await running.catch((error: unknown) => {
      if (signal?.aborted === true) throw new CodedError("interrupted", "interrupted", { cause: error });
      const reason = (error as { stderr?: string }).stderr?.trim() || (error as Error).message;
      throw new CodedError("not_supported", `the system prompt cannot be pinned: ${reason}`, { cause: error });
    });
    return await use(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
