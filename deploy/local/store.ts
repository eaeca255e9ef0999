import type { FileHash, ItemHash } from "../../src/domain/hash.ts";

/** A message that the local node has processed. */
export interface ProcessedMessage {
  readonly itemHash: ItemHash;
  readonly type: string;
  readonly sender: string;
  /** The exact text that was hashed. */
  readonly itemContent: string;
  readonly content: Readonly<Record<string, unknown>>;
}

/** What the supervisor reads from the node beside it: processed messages, and stored files by hash. */
export interface NodeStore {
  message(itemHash: ItemHash): Promise<ProcessedMessage | undefined>;
  /** Where the bytes lie on this machine; undefined when the node does not have them. */
  filePath(fileHash: FileHash): Promise<string | undefined>;
  /** All processed PROGRAM messages, oldest first. */
  programs(): Promise<readonly ProcessedMessage[]>;
}
