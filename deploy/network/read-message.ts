/** Reading without a key: what anybody can ask of a node. Nothing of the answer is believed but its form. */
import * as z from "zod";

import { CodedError } from "../../src/domain/errors.ts";
import { parseItemHash, type ItemHash } from "../../src/domain/hash.ts";
import type { Envelope } from "../messages/envelope.ts";
import { aggregateAnswer, requireShape } from "./answers.ts";
import { askNode, parseBody } from "./http.ts";

const wireMessage = z.looseObject({
  chain: z.string(),
  sender: z.string(),
  type: z.enum(["POST", "AGGREGATE", "STORE", "PROGRAM", "INSTANCE", "FORGET"]),
  channel: z.string().nullish(),
  time: z.number().default(0),
  item_type: z.enum(["inline", "storage", "ipfs"]).default("inline"),
  item_content: z.string().nullish(),
  signature: z.string(),
});
const messageAnswer = z.object({
  status: z.string(),
  message: wireMessage.optional(),
  messages: z.array(wireMessage).optional(),
});

/** How long to wait for the node, and until when. */
export interface Asking {
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
}

export interface ReadMessage {
  readonly status: string;
  readonly envelope: Envelope;
  /** Parsed from the text that was hashed. */
  readonly content: Readonly<Record<string, unknown>>;
}

/** Undefined where the node does not know it, or no longer has its text. Errors: `network_refused`… */
export async function readMessage(
  apiServer: string,
  itemHash: ItemHash,
  ask: Asking,
): Promise<ReadMessage | undefined> {
  const answer = await askNode(`${apiServer}/api/v0/messages/${itemHash}`, ask);
  if (answer.status === 404) return undefined;
  const { status, message: one, messages } = requireShape(messageAnswer, answer, `read message ${itemHash}`);
  const message = one ?? messages?.[0];
  if (message === undefined) return undefined;
  const { channel, item_content: text, ...rest } = message;
  const content = parseBody(text ?? "{}");
  if (typeof content !== "object" || content === null) {
    throw new CodedError("network_refused", `the text of message ${itemHash} is not JSON`);
  }
  const envelope = {
    ...rest,
    channel: channel ?? null,
    ...(typeof text === "string" ? { item_content: text } : {}),
    item_hash: parseItemHash(itemHash),
  };
  return { status, envelope, content: content as Record<string, unknown> };
}

/** Content of one of an address's aggregates; undefined where there is none. Errors: `network_refused`. */
export async function readAggregate(
  apiServer: string,
  address: string,
  key: string,
  ask: Asking,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  const answer = await askNode(`${apiServer}/api/v0/aggregates/${address}.json?keys=${key}`, ask);
  if (answer.status === 404) return undefined;
  return requireShape(aggregateAnswer, answer, `read the aggregate ${key} of ${address}`).data[key];
}

/** Who may speak for an address. Errors: `network_refused`. */
export async function readAuthorizations(
  apiServer: string,
  owner: string,
  ask: Asking,
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const list = (await readAggregate(apiServer, owner, "security", ask))?.["authorizations"];
  return Array.isArray(list) ? (list as Record<string, unknown>[]) : [];
}
