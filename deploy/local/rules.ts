/**
 * What each type of message must meet besides its schema: payment, dependencies, what FORGET may remove.
 * Source: pyaleph 0.10, handlers/content/{store,vm,forget,post}.py. Errors: a `Rejection`.
 */
import { parseFileHash, parseItemHash, type ItemHash } from "../../src/domain/hash.ts";
import { readContent, type Content, type ForgetContent, type PostContent } from "../messages/contents.ts";
import type { ProgramContent, StoreContent } from "../messages/contents.ts";
import type { Envelope } from "../messages/envelope.ts";
import type { Accounts } from "./accounts.ts";
import type { ContentStore } from "./content-store.ts";
import type { MessageStore, ProcessedRecord } from "./message-store.ts";
import { maySend } from "./permissions.ts";
import { Rejection } from "./rejection.ts";

/** 2026-03-11: persistent programs pay with credits. Compared with the message's own time, so a test sees the future. */
const PERSISTENT_NEEDS_CREDITS = 1_773_187_200;
/** 2027-01-01: everything does. */
const ALL_NEED_CREDITS = 1_798_761_600;
const RETRY = { retry: true };

export interface RuleContext {
  readonly messages: MessageStore;
  readonly files: ContentStore;
  readonly accounts: Accounts;
}

export async function requireRules(context: RuleContext, envelope: Envelope, read: Content): Promise<void> {
  switch (read.type) {
    case "STORE":
      await requireStore(context, envelope, read.content);
      break;
    case "PROGRAM":
      await requireProgram(context, envelope, read.content);
      break;
    case "FORGET":
      requireForget(context.messages, envelope, read.content);
      break;
    case "POST":
      requirePost(context.messages, read.content);
      break;
    case "AGGREGATE":
      break;
  }
}

/** The messages that a FORGET removes. */
export function forgetTargets(content: ForgetContent): ItemHash[] {
  return [...content.hashes, ...content.aggregates].map(parseItemHash);
}

async function requireStore(context: RuleContext, envelope: Envelope, content: StoreContent): Promise<void> {
  requirePayment(envelope, content.payment?.type, false);
  if ((await context.files.bytes(parseFileHash(content.item_hash))) === undefined) {
    throw new Rejection(4, { errors: [`no file ${content.item_hash} on this node`] }, RETRY);
  }
  const ref = content.ref === undefined ? undefined : asItemHash(content.ref);
  if (ref !== undefined) {
    const original = context.messages.processed(ref);
    if (original?.envelope.type !== "STORE") throw new Rejection(200, { errors: [ref] }, RETRY);
    if (original.item.content["ref"] !== undefined) throw new Rejection(201, { errors: [ref] });
    if (original.item.content["address"] !== content.address) throw new Rejection(2, { errors: [ref] });
  }
  await context.accounts.requireFunds({ type: "STORE", content }, { smallIsFree: true });
}

async function requireProgram(context: RuleContext, envelope: Envelope, content: ProgramContent): Promise<void> {
  const { messages, accounts } = context;
  requirePayment(envelope, content.payment?.type, content.on.persistent === true);
  const missing = refsOf(content).filter((ref) => messages.processed(ref)?.envelope.type !== "STORE");
  if (missing.length > 0) throw new Rejection(301, { errors: [...new Set(missing)] }, RETRY);
  if (content.replaces !== undefined) requireReplaceable(messages, content.replaces);
  for (const volume of content.volumes) {
    if (!("parent" in volume) || volume.parent === undefined) continue;
    const parentBytes = (await accounts.sizeOf(volume.parent.ref)) ?? 0;
    if (parentBytes > volume.size_mib * 1_048_576) throw new Rejection(304, { errors: [volume.parent.ref] });
  }
  await accounts.requireFunds({ type: "PROGRAM", content }, { smallIsFree: true });
}

function requireReplaceable(messages: MessageStore, replaces: string): void {
  const hash = asItemHash(replaces);
  const original = hash === undefined ? undefined : messages.processed(hash);
  if (original?.envelope.type !== "PROGRAM") throw new Rejection(300, { errors: [replaces] }, RETRY);
  if (original.item.content["allow_amend"] !== true) throw new Rejection(302, { errors: [replaces] });
  if (original.item.content["replaces"] !== undefined) throw new Rejection(303, { errors: [replaces] });
}

function requireForget(messages: MessageStore, envelope: Envelope, content: ForgetContent): void {
  const targets = forgetTargets(content);
  if (targets.length === 0) throw new Rejection(500);
  // All targets are checked before any is removed, so a program and its volumes cannot go in one message.
  const referenced = new Set(messages.allProcessed("PROGRAM").flatMap(refsOfRecord));
  for (const target of targets) {
    const record = messages.get(target);
    if (record === undefined || record.status === "pending" || record.status === "rejected") {
      throw new Rejection(501, { errors: [target] }, RETRY);
    }
    if (record.envelope.type === "FORGET") throw new Rejection(502, { errors: [target] });
    const result = readContent(record.envelope.type, record.item.content);
    // Asked as if the sender had sent the target itself: who may create may remove.
    const asTarget = { ...record.envelope, sender: envelope.sender, channel: envelope.channel };
    if (!result.ok || !maySend(messages, asTarget, result.read)) throw new Rejection(2, { errors: [target] });
    if (referenced.has(target)) throw new Rejection(503, { errors: [target] });
  }
}

function requirePost(messages: MessageStore, content: PostContent): void {
  if (content.type !== "amend") return;
  const hash = typeof content.ref === "string" ? asItemHash(content.ref) : undefined;
  if (hash === undefined) throw new Rejection(100);
  const original = messages.processed(hash);
  if (original?.envelope.type !== "POST") throw new Rejection(101, { errors: [hash] }, RETRY);
  if (original.item.content["type"] === "amend") throw new Rejection(102, { errors: [hash] });
}

function requirePayment(envelope: Envelope, payment: string | undefined, persistent: boolean): void {
  if (payment === "credit") return;
  const from = persistent ? PERSISTENT_NEEDS_CREDITS : ALL_NEED_CREDITS;
  if (envelope.time < from) return;
  throw new Rejection(202, {
    errors: [`from ${new Date(from * 1000).toISOString().slice(0, 10)} this is paid with "credit" only`],
  });
}

function refsOf(content: ProgramContent): ItemHash[] {
  const refs = [content.code.ref, content.runtime.ref];
  if (content.data !== undefined) refs.push(content.data.ref);
  for (const volume of content.volumes) {
    if ("ref" in volume) refs.push(volume.ref);
    else if ("parent" in volume && volume.parent !== undefined) refs.push(volume.parent.ref);
  }
  return refs.map(parseItemHash);
}

function refsOfRecord(record: ProcessedRecord): ItemHash[] {
  const result = readContent("PROGRAM", record.item.content);
  return result.ok && result.read.type === "PROGRAM" ? refsOf(result.read.content) : [];
}

function asItemHash(text: string): ItemHash | undefined {
  try {
    return parseItemHash(text);
  } catch {
    return undefined;
  }
}
