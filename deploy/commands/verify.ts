import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";

import { CodedError } from "../../src/domain/errors.ts";
import { parseItemHash, type ItemHash } from "../../src/domain/hash.ts";
import { dataDirectoryPath, openDataDirectory, toDataDirectoryError } from "../data-directory.ts";
import { openLockfile } from "../pins.ts";
import { createRebuild } from "../stages/rebuild.ts";
import { programOfUrl } from "../verify/target.ts";
import { verifyProgram } from "../verify/verify.ts";
import { command, type CommandContext, type ValuesOf } from "./command.ts";
import { SOMETHING_TO_DO } from "./exit-codes.ts";
import { apiServerOf, NETWORK_OPTIONS } from "./operator.ts";

const MIB = 1_048_576;

const OPTIONS = {
  ...NETWORK_OPTIONS,
  shallow: { type: "boolean", help: "do not build the images again: check messages, signatures and hashes only" },
  model: { type: "string", value: "MODEL", help: "what the program should run (default: by the program's own name)" },
  "volume-mib": { type: "integer", value: "MIB", min: 1, max: 4032, help: "as it was given to deploy" },
} as const;

export const verify = command({
  name: "verify",
  summary: "Check a published model from its URL down to its bytes, trusting nobody",
  positionals: { name: "TARGET", help: "a URL, the hash of a PROGRAM message, or a model of the lockfile" },
  options: OPTIONS,
  examples: ["pinference verify https://aleph.sh/vm/<item hash>/v1", "pinference verify qwen3-0.6b --shallow"],
  async run(options, positionals, context) {
    const [target, ...rest] = positionals;
    if (target === undefined || rest.length > 0) throw new CodedError("usage", "verify takes one URL, hash or model");
    const { env, out, parts, signal } = context;
    const { itemHash, apiServer } = await readTarget(target, options, context);
    const directoryPath = dataDirectoryPath(options["data-dir"], env);
    const directory = await openDataDirectory(directoryPath);
    await mkdir(directory.build, { recursive: true });
    // No lock: looking does not disturb a node that runs, and files have a place of their own.
    const buildDirectory = await mkdtemp(join(directory.path, "verify-"));
    try {
      const request = { directory: directory.models, contextLength: undefined, slots: 1, memoryMiB: undefined };
      const rebuild = createRebuild({
        parts,
        buildDirectory,
        signal,
        volumeBytes: options["volume-mib"] === undefined ? undefined : options["volume-mib"] * MIB,
        findModel: (name) => parts.findModel(options.model ?? name, request, quiet(out), signal),
        onProgress: (stage, doneBytes, totalBytes) =>
          out.progress({ event: "progress", stage: `building ${stage}`, doneBytes, totalBytes }),
      });
      const ok = await verifyProgram(itemHash, {
        signal,
        ...(await parts.reader(apiServer, signal)),
        rebuild: options.shallow ? undefined : rebuild,
        onFinding: (finding) => out.emit({ event: "finding", ...finding }),
        onProgress: (link, doneBytes, totalBytes) =>
          out.progress({ event: "progress", stage: `downloading ${link}`, doneBytes, totalBytes }),
      });
      out.emit({ event: "verified", itemHash, ok, isDeep: !options.shallow });
      return ok ? 0 : SOMETHING_TO_DO;
    } catch (error) {
      throw toDataDirectoryError(error, directoryPath) ?? error;
    } finally {
      await rm(buildDirectory, { recursive: true, force: true });
    }
  },
});

/** Errors: `usage`, `hash_malformed`. */
async function readTarget(
  target: string,
  options: ValuesOf<typeof OPTIONS>,
  { env, parts }: CommandContext,
): Promise<{ readonly itemHash: ItemHash; readonly apiServer: string }> {
  if (/^https?:/i.test(target)) {
    const found = programOfUrl(target);
    // The local node is its own API node.
    const own = found.isLocal && options["api-server"] === undefined ? found.origin : apiServerOf(options, env);
    return { itemHash: found.itemHash, apiServer: own };
  }
  const apiServer = apiServerOf(options, env);
  if (/^[0-9a-f]{64}$/.test(target)) return { itemHash: parseItemHash(target), apiServer };
  const { models, path } = await openLockfile(options.lockfile ?? parts.lockfilePath);
  const locked = models.get(target);
  if (locked !== undefined) return { itemHash: locked.itemHash, apiServer };
  const known = models.size === 0 ? "it is empty" : `it has: ${[...models.keys()].join(", ")}`;
  throw new CodedError("usage", `"${target.slice(0, 100)}" is no URL, no hash, and not in ${path}; ${known}`);
}

/** Progress shows; the findings tell the rest. */
function quiet(out: CommandContext["out"]): CommandContext["out"] {
  return { json: out.json, emit: () => undefined, progress: (event) => out.progress(event) };
}
