import { CodedError } from "../../src/domain/errors.ts";
import { parseItemHash, type ItemHash } from "../../src/domain/hash.ts";
import { openLockfile } from "../pins.ts";
import { programOfUrl } from "../verify/target.ts";
import type { CommandContext } from "./command.ts";
import { apiServerOf, type NetworkOptions } from "./operator.ts";

export const TARGET = { name: "TARGET", help: "a URL, the hash of a PROGRAM message, or a model of the lockfile" };

export interface Target {
  readonly itemHash: ItemHash;
  readonly apiServer: string;
  /** Where a URL says that the program is. */
  readonly crn: string | undefined;
}

/** Errors: `usage`, `hash_malformed`. */
export async function readTarget(
  positionals: readonly string[],
  options: NetworkOptions,
  { env, parts }: CommandContext,
): Promise<Target> {
  const [target, ...rest] = positionals;
  if (target === undefined || rest.length > 0) throw new CodedError("usage", "name one URL, hash or model");
  if (/^https?:/i.test(target)) {
    const found = programOfUrl(target);
    // The local node is its own API node.
    const own = found.isLocal && options["api-server"] === undefined ? found.origin : apiServerOf(options, env);
    return { itemHash: found.itemHash, apiServer: own, crn: found.origin };
  }
  const apiServer = apiServerOf(options, env);
  if (/^[0-9a-f]{64}$/.test(target)) return { itemHash: parseItemHash(target), apiServer, crn: undefined };
  const { models, path } = await openLockfile(options.lockfile ?? parts.lockfilePath);
  const locked = models.get(target);
  if (locked !== undefined) return { itemHash: locked.itemHash, apiServer, crn: undefined };
  const known = models.size === 0 ? "it is empty" : `it has: ${[...models.keys()].join(", ")}`;
  throw new CodedError("usage", `"${target.slice(0, 100)}" is no URL, no hash, and not in ${path}; ${known}`);
}
