/** What messages would cost, asked of the node with their very contents; and how contents are compared. */
import { createHash } from "node:crypto";

import { hashItemContent } from "../messages/envelope.ts";
import { priceAnswer, requireShape } from "./answers.ts";
import { askNode } from "./http.ts";

const MIB = 1_048_576;

/** Credits per hour. Errors: `network_refused`, `network_unreachable`, `interrupted`. */
export async function estimateCost(
  apiServer: string,
  type: "STORE" | "PROGRAM",
  content: object,
  ask: { readonly signal: AbortSignal | undefined; readonly timeoutMs?: number },
): Promise<number> {
  const text = JSON.stringify(content);
  const message = { type, item_type: "inline", item_hash: hashItemContent(text), item_content: text };
  const answer = await askNode(`${apiServer}/api/v0/price/estimate`, { body: { message }, ...ask });
  return toCreditsPerHour(requireShape(priceAnswer, answer, "estimate the price").cost);
}

export function toCreditsPerHour(perSecond: string): number {
  return Number(perSecond) * 3600;
}

/** Tells the node how large the files behind refs are that it does not have. Only estimates may say so. */
export function withSizes(value: unknown, sizes: ReadonlyMap<string, number>): object {
  return JSON.parse(JSON.stringify(value), (_, member: unknown) => {
    if (typeof member !== "object" || member === null || !("ref" in member)) return member;
    const bytes = sizes.get(String(member.ref));
    return bytes === undefined ? member : { ...member, estimated_size_mib: Math.ceil(bytes / MIB) };
  }) as object;
}

/** Of a content, what does not change from run to run. */
export function withoutTime(content: object): object {
  return { ...content, time: 0 };
}

/** Equal values have equal names, whatever their members' order. */
export function nameOf(value: object): string {
  return createHash("sha256")
    .update(
      JSON.stringify(value, (_, member: unknown) =>
        typeof member === "object" && member !== null && !Array.isArray(member)
          ? Object.fromEntries(Object.entries(member).toSorted(([a], [b]) => (a < b ? -1 : 1)))
          : member,
      ),
    )
    .digest("hex");
}
