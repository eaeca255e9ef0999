/** What a node answers: the shapes that are relied on, and what its refusals mean for the operator. */
import * as z from "zod";

import { CodedError } from "../../src/domain/errors.ts";
import type { FileHash, ItemHash } from "../../src/domain/hash.ts";
import type { BuiltImage } from "../../src/domain/volume.ts";
import { carBytes } from "../cid/car.ts";
import { hashItemContent } from "../messages/envelope.ts";
import { adviceFor, adviceForState, adviceForStatus } from "./advice.ts";
import { rejectionName } from "../messages/rejections.ts";
import { parseBody, type JsonAnswer } from "./http.ts";
import type { MessageState, UploadLimits } from "./network.ts";

const MIB = 1_048_576;
const DISTRUST = "Run the same command again; where it says so again, use another --api-server";
/** Some nodes count the multipart framing and the message as a part of the file. */
const FRAMING_BYTES = 16_384;
/** Of nodes too old to say. */
const DEFAULT_LIMITS: UploadLimits = { storageBytes: 100 * MIB, ipfsBytes: 1024 * MIB, carBytes: 4096 * MIB };

const limitsAnswer = z.object({
  storage: z.object({ max_file_size: z.number() }),
  ipfs: z.object({ max_upload_file_size: z.number(), max_upload_car_size: z.number().default(0) }),
});
const wireMessage = z.looseObject({
  type: z.string(),
  sender: z.string(),
  content: z.record(z.string(), z.unknown()).nullish(),
  item_content: z.string().nullish(),
});
const messageAnswer = z.object({
  status: z.enum(["pending", "processed", "rejected", "forgotten", "removing", "removed"]),
  message: wireMessage.optional(),
  messages: z.array(wireMessage).optional(),
  error_code: z.number().optional(),
  details: z.unknown().optional(),
});
export const foundMessages = z.object({ messages: z.array(z.object({ item_hash: z.string() })) });
export const listedMessages = z.object({
  messages: z.array(z.object({ item_hash: z.string(), content: z.record(z.string(), z.unknown()) })),
});
export const aggregateAnswer = z.object({ data: z.record(z.string(), z.record(z.string(), z.unknown())) });
export const priceAnswer = z.object({ cost: z.string(), payment_type: z.string() });
export const balanceAnswer = z.object({ credit_balance: z.number().default(0) });

export function readLimits(answer: JsonAnswer): UploadLimits {
  const limits = limitsAnswer.safeParse(answer.body);
  if (!limits.success) return DEFAULT_LIMITS;
  const { storage, ipfs } = limits.data;
  return {
    storageBytes: storage.max_file_size,
    ipfsBytes: ipfs.max_upload_file_size,
    carBytes: ipfs.max_upload_car_size,
  };
}

/** Undefined when the node does not know the message. Errors: `network_refused`. */
export function readMessageState(itemHash: ItemHash, answer: JsonAnswer): MessageState | undefined {
  if (answer.status === 404) return undefined;
  const state = requireShape(messageAnswer, answer, `read message ${itemHash}`);
  const message = state.message ?? state.messages?.[0];
  const text = message?.item_content;
  if (typeof text === "string" && hashItemContent(text) !== itemHash) {
    const said = `the node gave a message for ${itemHash} whose text has another hash`;
    throw new CodedError("hash_mismatch", `${said}: do not trust this node, use another --api-server`);
  }
  const code = state.error_code ?? -1;
  return {
    itemHash,
    status: state.status,
    type: message?.type ?? "",
    sender: message?.sender ?? "",
    // The text is what was hashed; a node could put anything beside it.
    content: typeof text === "string" ? toContent(text) : (message?.content ?? undefined),
    rejection:
      state.status === "rejected" ? { code, name: rejectionName(code), details: state.details ?? null } : undefined,
  };
}

function toContent(text: string): Readonly<Record<string, unknown>> | undefined {
  const content = parseBody(text);
  return typeof content === "object" && content !== null ? (content as Record<string, unknown>) : undefined;
}

/** An archive is a way to send a file, not another name for it: its file is named as on the way `ipfs`. */
export type UploadWay = "storage" | "ipfs" | "car";

/** Errors: `network_refused`. */
export function chooseEngine(bytes: number, limits: UploadLimits): UploadWay {
  if (bytes <= limits.storageBytes - FRAMING_BYTES) return "storage";
  if (bytes <= limits.ipfsBytes - FRAMING_BYTES) return "ipfs";
  if (carBytes(bytes) <= limits.carBytes - FRAMING_BYTES) return "car";
  const limit = Math.max(limits.ipfsBytes, limits.carBytes);
  throw new CodedError(
    "network_refused",
    `the file has ${bytes} bytes and the node takes ${limit} at most: make smaller volumes with --volume-mib, or use ` +
      "another --api-server",
    { details: { bytes, limit } },
  );
}

/** Errors: `hash_mismatch`, `disk_full`, `network_refused`. A rejected STORE passes: its reason is in the message's state. */
export function requireAccepted(answer: JsonAnswer, image: BuiltImage, fileHash: FileHash, address: string): void {
  const body = z.object({ status: z.literal("success"), hash: z.string() }).safeParse(answer.body);
  if (body.success) {
    if (body.data.hash === fileHash) return;
    throw new CodedError("hash_mismatch", `the node stored ${body.data.hash} instead of ${fileHash}. ${DISTRUST}`);
  }
  const text = shortText(answer.body);
  if (answer.status === 422 && text.startsWith("File hash does not match")) {
    throw new CodedError("hash_mismatch", `the node received other bytes than were built: ${text}. ${DISTRUST}`);
  }
  if (answer.status === 507) {
    throw new CodedError(
      "disk_full",
      `the node has no space left for a file of ${image.bytes} bytes: free some there, or use another --api-server`,
    );
  }
  throw new CodedError("network_refused", whyRefused(answer.status, text, image, address));
}

function whyRefused(status: number, text: string, image: BuiltImage, address: string): string {
  switch (status) {
    case 402:
      return `the credits of ${address} do not cover a file of ${image.bytes} bytes for a day: add credits`;
    case 403:
      return "the node does not accept the signature, or takes no files of this kind: use another --api-server";
    case 413:
      return (
        `the node takes no file of ${image.bytes} bytes: make smaller volumes with --volume-mib, or use ` +
        "another --api-server"
      );
    default:
      return `the node refused the upload with HTTP ${status}${quoted(text)}. ${adviceForStatus(status)}`;
  }
}

/** Of a message that will not be processed. */
export function toRejectedError({ itemHash, status, rejection }: MessageState, address: string): CodedError {
  if (rejection === undefined) {
    const message = `message ${itemHash} is ${status}. ${adviceForState(status, address)}`;
    return new CodedError("message_rejected", message, { details: { status } });
  }
  const { code, name, details } = rejection;
  const advice = `. ${adviceFor(code, address)}`;
  const reason = details === null ? "" : `: ${shortText(details)}`;
  return new CodedError("message_rejected", `message ${itemHash} was rejected with ${code} ${name}${reason}${advice}`, {
    details: { error_code: code, error_name: name },
  });
}

/** Of a message that did not come to its end in time. `status` undefined: the node does not know it. */
export function notProcessed(
  itemHash: ItemHash,
  status: string | undefined,
  waitedMs: number,
  address: string,
): CodedError {
  const state = status === undefined ? "unknown to the node that took it" : `still ${status}`;
  const waited = `after ${Math.round(waitedMs / 1000)} s`;
  const advice = adviceForState(status ?? "unknown", address);
  return new CodedError("network_refused", `message ${itemHash} is ${state} ${waited}. ${advice}`);
}

/** Errors: `network_refused`. */
export function requireShape<Schema extends z.ZodType>(
  schema: Schema,
  answer: JsonAnswer,
  what: string,
): z.output<Schema> {
  const parsed = answer.status === 200 ? schema.safeParse(answer.body) : undefined;
  if (parsed?.success === true) return parsed.data;
  throw refusedBy(answer, what);
}

/** `what` the node would not, or could not: `read the balance`. */
export function refusedBy({ status, body }: JsonAnswer, what: string): CodedError {
  const message = `cannot ${what}: the node answered HTTP ${status}${quoted(shortText(body))}. ${adviceForStatus(status)}`;
  return new CodedError("network_refused", message, { details: { status } });
}

function quoted(text: string): string {
  return text === "" ? "" : `: ${text}`;
}

function shortText(value: unknown): string {
  const text = value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}
