/** Messages as the API shows them. Source: pyaleph 0.10, schemas/api/messages.py. */
import type { Envelope } from "../messages/envelope.ts";
import type { MessageRecord, ProcessedRecord } from "./message-store.ts";

/** GET /api/v0/messages/<hash>. */
export function toMessageAnswer(record: MessageRecord): object {
  const head = toStatusAnswer(record);
  if (record.status === "processed") return { ...head, message: toProcessedMessage(record) };
  if (record.status === "forgotten") {
    return { ...head, message: toSkeleton(record), forgotten_by: [record.forgottenBy] };
  }
  const message = { ...toWire(record.envelope), content: record.item?.content ?? null };
  if (record.status === "rejected") return { ...head, message, error_code: record.errorCode, details: record.details };
  // A list, as several messages with one hash could wait.
  return { ...head, messages: [{ ...message, reception_time: record.receivedAt }] };
}

function toSkeleton(record: Extract<MessageRecord, { status: "forgotten" }>) {
  const { item_content: text, ...skeleton } = toWire(record.envelope);
  const { address, payment } = record.item.content;
  return {
    ...skeleton,
    owner: address,
    payment_type: (payment as { type?: string } | undefined)?.type ?? null,
    size: Buffer.byteLength(text ?? record.item.text),
    forgotten_at: record.forgottenAt,
  };
}

/** GET /api/v0/messages/<hash>/status. */
export function toStatusAnswer(record: MessageRecord) {
  return { status: record.status, item_hash: record.envelope.item_hash, reception_time: record.receivedAt };
}

/** Blocks of a chain never confirm what only this machine knows. */
function toProcessedMessage(record: ProcessedRecord) {
  return { ...toWire(record.envelope), content: record.item.content, confirmed: false, confirmations: [] };
}

/** A message of messages.json and of the WebSocket. */
export function toListedMessage(record: MessageRecord) {
  return {
    ...toWire(record.envelope),
    content: record.item?.content ?? null,
    size: Buffer.byteLength(record.item?.text ?? ""),
    confirmed: false,
    confirmations: [],
  };
}

function toWire(envelope: Envelope) {
  const { sender, chain, signature, type, item_type, item_hash, time, channel } = envelope;
  return {
    sender,
    chain,
    signature,
    type,
    item_content: envelope.item_content ?? null,
    item_type,
    item_hash,
    time,
    channel,
  };
}
