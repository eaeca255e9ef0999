import { CodedError } from "../../src/domain/errors.ts";
import { CHANNEL } from "./messages.ts";

const TYPES = ["STORE", "PROGRAM"] as const;

/**
 * The `security` aggregate with one more authorization, or one less; undefined where nothing changes. A message replaces
 * the whole list, so all others are repeated as they are, in whatever words. Errors: `network_refused`.
 */
export function mergeAuthorization(
  aggregate: Readonly<Record<string, unknown>> | undefined,
  address: string,
  revoke: boolean,
): { readonly authorizations: readonly unknown[] } | undefined {
  const list = aggregate?.["authorizations"] ?? [];
  if (!Array.isArray(list)) {
    throw new CodedError("network_refused", "the list of who may sign for you is not a list: look at it by hand");
  }
  const isOurs = (one: unknown) =>
    String((one as { address?: unknown } | null)?.address).toLowerCase() === address.toLowerCase();
  const others = list.filter((one) => !isOurs(one)) as unknown[];
  if (revoke) return others.length === list.length ? undefined : { authorizations: others };
  const ours = { address, chain: "ETH", channels: [CHANNEL], types: TYPES, post_types: [], aggregate_keys: [] };
  const before = list.filter(isOurs);
  if (before.length === 1 && JSON.stringify(before[0]) === JSON.stringify(ours)) return undefined;
  return { authorizations: [...others, ours] };
}
