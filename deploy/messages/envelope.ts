/** The signed envelope around a content. Source: pyaleph 0.10, schemas/base_messages.py and pending_messages.py. */
import { createHash } from "node:crypto";

import * as z from "zod";

import { parseItemHash, storageEngineOf, type ItemHash } from "../../src/domain/hash.ts";
import { CHAINS, toProblems } from "./contents.ts";

/** Characters of an inline content. */
const ITEM_CONTENT_LENGTH = 200_000;

export type MessageType = "POST" | "AGGREGATE" | "STORE" | "PROGRAM" | "INSTANCE" | "FORGET";

export interface Envelope {
  readonly chain: string;
  readonly sender: string;
  readonly type: MessageType;
  readonly channel: string | null;
  /** Seconds since 1970. Not signed. */
  readonly time: number;
  readonly item_type: "inline" | "storage" | "ipfs";
  /** The exact text that was hashed; absent when the content is a stored file. */
  readonly item_content?: string;
  readonly item_hash: ItemHash;
  readonly signature: string;
}

/** Unknown keys are dropped, as a CCN does. */
const envelope = z.object({
  chain: z.string().refine((name) => CHAINS.includes(name), "not a chain of the network"),
  sender: z.string(),
  type: z.enum(["POST", "AGGREGATE", "STORE", "PROGRAM", "INSTANCE", "FORGET"]),
  channel: z.string().max(128).nullish(),
  time: z.number().min(0).max(9_223_372_036),
  item_type: z.enum(["inline", "storage", "ipfs"]).nullish(),
  item_content: z.string().max(ITEM_CONTENT_LENGTH).nullish(),
  item_hash: z.string(),
  signature: z.string(),
});

export type EnvelopeResult =
  { readonly ok: true; readonly envelope: Envelope } | { readonly ok: false; readonly problems: readonly string[] };

/** Checks form and hash, not the signature. */
export function readEnvelope(value: unknown): EnvelopeResult {
  const parsed = envelope.safeParse(value);
  if (!parsed.success) return { ok: false, problems: toProblems(parsed.error) };
  const { channel, item_type: givenType, item_content: text, item_hash: hash, ...rest } = parsed.data;
  let itemHash: ItemHash;
  try {
    itemHash = parseItemHash(hash);
  } catch (error) {
    return refuse(`item_hash: ${error instanceof Error ? error.message : "malformed"}`);
  }
  const inline = text !== null && text !== undefined;
  const itemType = givenType ?? (inline ? "inline" : storageEngineOf(itemHash));
  if (itemType !== "inline") {
    if (inline) return refuse(`item_content: only for inline messages, this one is "${itemType}"`);
    if (itemType !== storageEngineOf(itemHash)) return refuse(`item_type: "${itemType}" does not fit item_hash`);
  } else {
    if (!inline) return refuse("item_content: missing from an inline message");
    const expected = hashItemContent(text);
    if (expected !== itemHash) return refuse(`item_hash: is not the sha256 of item_content, which is ${expected}`);
  }
  return {
    ok: true,
    envelope: {
      chain: rest.chain,
      sender: rest.sender,
      type: rest.type,
      channel: channel ?? null,
      time: rest.time,
      item_type: itemType,
      ...(inline ? { item_content: text } : {}),
      item_hash: itemHash,
      signature: rest.signature,
    },
  };
}

function refuse(problem: string): EnvelopeResult {
  return { ok: false, problems: [problem] };
}

/** The item hash of an inline message: sha256 of exactly the characters sent. */
export function hashItemContent(itemContent: string): ItemHash {
  return parseItemHash(createHash("sha256").update(itemContent, "utf8").digest("hex"));
}

/** What a wallet signs for a message. Time and channel are not covered. */
export function verificationText(message: Pick<Envelope, "chain" | "sender" | "type" | "item_hash">): string {
  return [message.chain, message.sender, message.type, message.item_hash].join("\n");
}
