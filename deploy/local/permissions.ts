/** Who may speak for an address: itself, and those that its `security` aggregate names. Source: pyaleph, permissions.py. */
import * as z from "zod";

import type { Content } from "../messages/contents.ts";
import type { Envelope } from "../messages/envelope.ts";
import type { JsonObject, MessageStore } from "./message-store.ts";

const filter = z.array(z.string()).default([]);
const authorization = z.object({
  address: z.string(),
  chain: z.string().nullish(),
  channels: filter,
  types: filter,
  post_types: filter,
  aggregate_keys: filter,
});

/** Merged contents by key, newest last: a shallow update, as the network does. */
export function readAggregates(messages: MessageStore, owner: string): Record<string, JsonObject> {
  const elements = messages
    .allProcessed("AGGREGATE")
    .map((record) => record.item.content)
    .filter((content) => content["address"] === owner)
    .sort((a, b) => Number(a["time"]) - Number(b["time"]));
  const merged: Record<string, JsonObject> = {};
  for (const { key, content } of elements) {
    const name = typeof key === "string" ? key : String((key as JsonObject)["name"]);
    merged[name] = { ...merged[name], ...(content as JsonObject) };
  }
  return merged;
}

export function maySend(messages: MessageStore, envelope: Envelope, read: Content): boolean {
  const owner = read.content.address;
  if (envelope.sender === owner) return true;
  const listed = readAggregates(messages, owner)["security"]?.["authorizations"];
  if (!Array.isArray(listed)) return false;
  return listed.some((entry) => {
    const parsed = authorization.safeParse(entry);
    return parsed.success && allows(parsed.data, envelope, read);
  });
}

function allows(rule: z.output<typeof authorization>, envelope: Envelope, read: Content): boolean {
  return (
    rule.address.toLowerCase() === envelope.sender.toLowerCase() &&
    (rule.chain === undefined || rule.chain === null || rule.chain === envelope.chain) &&
    admits(rule.channels, envelope.channel ?? "") &&
    admits(rule.types, read.type) &&
    (read.type !== "POST" || admits(rule.post_types, read.content.type)) &&
    (read.type !== "AGGREGATE" || admits(rule.aggregate_keys, aggregateKey(read.content.key)))
  );
}

/** No values: no restriction. */
function admits(values: readonly string[], value: string): boolean {
  return values.length === 0 || values.includes(value);
}

function aggregateKey(key: string | { readonly name: string }): string {
  return typeof key === "string" ? key : key.name;
}
