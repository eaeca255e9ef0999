import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";

import { dataDirectoryPath, openDataDirectory, toDataDirectoryError } from "../data-directory.ts";
import { createRebuild } from "../stages/rebuild.ts";
import { verifyProgram } from "../verify/verify.ts";
import { command, type CommandContext } from "./command.ts";
import { SOMETHING_TO_DO } from "./exit-codes.ts";
import { NETWORK_OPTIONS } from "./operator.ts";
import { readTarget, TARGET } from "./target.ts";

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
  positionals: TARGET,
  options: OPTIONS,
  examples: ["pinference verify https://aleph.sh/vm/<item hash>/v1", "pinference verify qwen3-0.6b --shallow"],
  async run(options, positionals, context) {
    const { env, out, parts, signal } = context;
    const { itemHash, apiServer } = await readTarget(positionals, options, context);
    const directoryPath = dataDirectoryPath(options["data-dir"], env);
    const directory = await openDataDirectory(directoryPath, env);
    await mkdir(directory.build, { recursive: true });
    // No lock: looking does not disturb a node that runs, and files have a place of their own.
    const buildDirectory = await mkdtemp(join(directory.path, "verify-"));
    try {
      const request = { directory: directory.models, contextLength: undefined, slots: 1, memoryMiB: undefined };
      const rebuild = createRebuild({
        parts,
        buildDirectory,
        packages: directory.packages,
        signal,
        volumeBytes: options["volume-mib"] === undefined ? undefined : options["volume-mib"] * MIB,
        findModel: (name) => parts.findModel(options.model ?? name, request, quiet(out), signal),
        onProgress: (stage, doneBytes, totalBytes) =>
          out.progress({ event: "progress", stage: `building ${stage}`, doneBytes, totalBytes }),
      });
      const ok = await verifyProgram(itemHash, {
        signal,
        idleMs: options.timeout * 1000,
        ...(await parts.reader(apiServer, { signal, timeoutMs: options.timeout * 1000 })),
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

/** Progress shows; the findings tell the rest. */
function quiet(out: CommandContext["out"]): CommandContext["out"] {
  return { json: out.json, emit: () => undefined, progress: (event) => out.progress(event) };
}
