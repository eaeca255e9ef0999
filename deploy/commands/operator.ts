/** What the commands of an operator begin with: options, the data directory, the key, the network, the lockfile. */
import { mkdir, rm } from "node:fs/promises";

import { openArtefactIndex, type ArtefactIndex } from "../artefacts.ts";
import { dataDirectoryPath, openDataDirectory, toDataDirectoryError, type DataDirectory } from "../data-directory.ts";
import { acquireLock } from "../lock.ts";
import type { AlephNetwork } from "../network/aleph.ts";
import { PATIENCE, patienceOf } from "../network/patience.ts";
import { openLockfile, type Lockfile } from "../pins.ts";
import { createCleanup } from "./cleanup.ts";
import type { CommandContext } from "./command.ts";

/** An API node of the network that its own tools use too. */
const PUBLIC_API_SERVER = "https://api3.aleph.im";

export const NETWORK_OPTIONS = {
  "api-server": {
    type: "string",
    value: "URL",
    help: `API node of the network (default ALEPH_API_SERVER or ${PUBLIC_API_SERVER})`,
  },
  "data-dir": {
    type: "string",
    value: "DIR",
    help: "where models, images and the key are kept (default PINFERENCE_DATA_DIR or ~/.pinference)",
  },
  lockfile: { type: "string", value: "FILE", help: "what was published (default deploy/pins.json of this project)" },
  timeout: {
    type: "integer",
    value: "S",
    min: 1,
    max: 3600,
    default: PATIENCE.answerMs / 1000,
    help: "seconds that a node may be silent; five times as long when it takes a file",
  },
  wait: {
    type: "integer",
    value: "S",
    min: 1,
    max: 86_400,
    default: PATIENCE.processingMs / 1000,
    help: "longest wait in seconds until the network has processed a message",
  },
} as const;

/** A model of some gigabytes comes to a compute node through one gateway, at a few hundred kilobytes a second. */
export const START_MINUTES = {
  type: "integer",
  value: "N",
  min: 1,
  max: 1440,
  default: 180,
  help: "longest wait for each compute node",
} as const;

export interface NetworkOptions {
  readonly "api-server": string | undefined;
  readonly "data-dir": string | undefined;
  readonly lockfile: string | undefined;
  readonly timeout: number;
  readonly wait: number;
}

export interface Operator {
  readonly directory: DataDirectory;
  readonly network: AlephNetwork;
  readonly index: ArtefactIndex;
  readonly lockfile: Lockfile;
}

export function apiServerOf(options: NetworkOptions, env: CommandContext["env"]): string {
  return (options["api-server"] ?? (env["ALEPH_API_SERVER"] || PUBLIC_API_SERVER)).replace(/\/+$/, "");
}

/** Holds the data directory while `work` runs. Errors: `already_running`, `data_directory`, `key_invalid`… */
export async function asOperator<Result>(
  options: NetworkOptions,
  context: CommandContext,
  work: (operator: Operator) => Promise<Result>,
): Promise<Result> {
  const { env, out, parts } = context;
  const note = (message: string) => out.emit({ event: "note", message });
  const directoryPath = dataDirectoryPath(options["data-dir"], env);
  const cleanup = createCleanup(note);
  try {
    const directory = await openDataDirectory(directoryPath, env);
    cleanup.add(await acquireLock(directory.path));
    await rm(directory.build, { recursive: true, force: true });
    await mkdir(directory.build);
    const key = await parts.loadKey(directory.path);
    const owner = env["ALEPH_OWNER_ADDRESS"]?.trim() || undefined;
    const network = await parts.connect(apiServerOf(options, env), key, {
      directory: directory.path,
      owner,
      patience: patienceOf(options),
    });
    const lockfile = await openLockfile(options.lockfile ?? parts.lockfilePath);
    const index = await openArtefactIndex(directory.path, note);
    // The lockfile knows what another machine has published.
    for (const { runtime, code, volumes } of lockfile.models.values()) {
      for (const { key: imageKey, ...image } of [runtime, code, ...volumes]) {
        if (index.image(imageKey) === undefined) await index.recordImage(imageKey, image);
      }
    }
    return await work({ directory, network, index, lockfile });
  } catch (error) {
    throw toDataDirectoryError(error, directoryPath) ?? error;
  } finally {
    await cleanup.run();
  }
}
