import { readFile } from "node:fs/promises";
import { join } from "node:path";

import * as z from "zod";

import { CodedError } from "../../src/domain/errors.ts";

/** A file that only `npm run runtime:lock` writes. */
export const RUNTIME_LOCK = join("deploy", "image", "runtime-lock.json");

const runtimeLock = z.strictObject({
  generatedBy: z.string(),
  debian: z.array(
    z.strictObject({
      name: z.string().regex(/^[a-z0-9][a-z0-9+.-]+$/),
      version: z.string().regex(/^[\w.+:~-]+$/),
      architecture: z.literal("amd64"),
      bytes: z.int().positive(),
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
    }),
  ),
  npm: z.array(
    z.strictObject({
      name: z.string().regex(/^(?:@[\w.-]+\/)?[\w.-]+$/),
      version: z.string().regex(/^\d+\.\d+\.\d+$/),
      integrity: z.string().regex(/^sha512-[A-Za-z0-9+/]{86}==$/),
    }),
  ),
});

/** The packages that the runtime is made of, to the byte. */
export type RuntimeLock = z.infer<typeof runtimeLock>;

/** Errors: `config_invalid`. */
export async function readRuntimeLock(packageRoot: string): Promise<RuntimeLock> {
  const path = join(packageRoot, RUNTIME_LOCK);
  let content: unknown;
  try {
    content = JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    throw new CodedError("config_invalid", `the lock of the runtime ${path} cannot be read`, { cause: error });
  }
  const parsed = runtimeLock.safeParse(content);
  if (parsed.success) return parsed.data;
  throw new CodedError("config_invalid", `the lock of the runtime is not valid:\n${z.prettifyError(parsed.error)}`);
}
