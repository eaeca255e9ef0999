import type { Accounts } from "../accounts.ts";
import type { ContentStore } from "../content-store.ts";
import type { MessageStore } from "../message-store.ts";
import type { Processor } from "../processor.ts";

/** Upload limits in bytes, as the network's nodes set them. */
export interface CcnLimits {
  readonly storageBytes: number;
  readonly ipfsBytes: number;
  /** Of an archive with the blocks of a file. */
  readonly carBytes: number;
  /** Of a file that comes without a signed STORE message. */
  readonly unauthenticatedBytes: number;
}

/** What the routes of the embedded CCN share. */
export interface NodeParts {
  readonly messages: MessageStore;
  readonly files: ContentStore;
  readonly accounts: Accounts;
  readonly processor: Processor;
  readonly limits: CcnLimits;
  /** How long a publisher that asks for the result is kept waiting. */
  readonly syncWaitMs: () => number;
}
