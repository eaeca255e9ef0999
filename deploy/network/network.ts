import type { FileHash, ItemHash } from "../../src/domain/hash.ts";
import type { BuiltImage, PinnedImage } from "../../src/domain/volume.ts";

/** Upload limits of one node, in bytes. Source: GET /api/v0/storage/limits.json. */
export interface UploadLimits {
  readonly storageBytes: number;
  readonly ipfsBytes: number;
  /** Of an archive; 0 where the node takes none. */
  readonly carBytes: number;
}

export type MessageStatus = "pending" | "processed" | "rejected" | "forgotten" | "removing" | "removed";

export interface MessageState {
  readonly itemHash: ItemHash;
  readonly status: MessageStatus;
  readonly type: string;
  readonly sender: string;
  /** The parsed content; absent where the node no longer has it. */
  readonly content: Readonly<Record<string, unknown>> | undefined;
  /** Why it was rejected: the network's number and name. */
  readonly rejection: { readonly code: number; readonly name: string; readonly details: unknown } | undefined;
}

/** What a PROGRAM message shall run. Everything else is fixed by this product: see network/messages.ts. */
export interface ProgramSpec {
  readonly name: string;
  readonly runtime: { readonly ref: ItemHash; readonly comment: string };
  readonly code: { readonly ref: ItemHash; readonly entrypoint: string };
  readonly volumes: readonly { readonly mount: string; readonly ref: ItemHash; readonly comment?: string }[];
  readonly variables: Readonly<Record<string, string>>;
  readonly resources: { readonly vcpus: number; readonly memoryMiB: number; readonly seconds: number };
}

export interface TransferOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
}

/** The network, as commands see it. `network/aleph.ts` implements it, against a real node and the local one alike. */
export interface Network {
  /** The address that signs. */
  readonly address: string;
  /** The address that owns and pays: the signer, or who gave it the right to publish in its name. */
  readonly owner: string;
  /** Base URL of the node, without a trailing slash. */
  readonly apiServer: string;
  limits(signal?: AbortSignal): Promise<UploadLimits>;
  /**
   * Uploads the image with a signed STORE message and waits until the node has processed it. Bytes go by the engine
   * that the node's limits allow (`storage`, then `ipfs`, then an archive), and the node's hash is compared with ours.
   * Errors: `network_unreachable`, `network_refused` (too large, no balance), `message_rejected`, `hash_mismatch`,
   * `disk_full`.
   */
  pin(image: BuiltImage, options?: TransferOptions): Promise<PinnedImage>;
  /** Whether the node has the bytes: its messages outlive files that were lost. */
  holds(fileHash: FileHash, signal?: AbortSignal): Promise<boolean>;
  /** A processed STORE message of ours for this file, if the node has one. */
  findPin(fileHash: FileHash, signal?: AbortSignal): Promise<ItemHash | undefined>;
  /** Signs and sends a PROGRAM message and waits until the node has processed it. Errors: as `pin`. */
  publish(program: ProgramSpec, signal?: AbortSignal): Promise<ItemHash>;
  /** The oldest processed PROGRAM message of the owner that says the same but for its time. */
  findProgram(program: ProgramSpec, signal?: AbortSignal): Promise<ItemHash | undefined>;
  /** Undefined when the node does not know the hash. Errors: `hash_mismatch` for a text that has another hash. */
  message(itemHash: ItemHash, signal?: AbortSignal): Promise<MessageState | undefined>;
}

/**
 * Contents that were signed and perhaps sent, by what they ask for. A run that was killed sends the very same message
 * again, and the network takes two of the same hash for one.
 */
export interface Outbox {
  get(key: string): object | undefined;
  /** Returns when it is on disk. */
  put(key: string, content: object): Promise<void>;
  remove(key: string): Promise<void>;
}
