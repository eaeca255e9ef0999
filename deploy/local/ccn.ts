/**
 * The embedded CCN: the endpoints of the network's API nodes that publishers and compute nodes call, with the network's
 * checks, texts and limits. State lives below one data directory and survives a kill.
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

import { Router, type RequestHandler } from "express";

import type { FileHash } from "../../src/domain/hash.ts";
import { Accounts, type Balance } from "./accounts.ts";
import { accountRoutes } from "./ccn-routes/accounts.ts";
import { fileRoutes, gatewayRoutes } from "./ccn-routes/files.ts";
import { messageRoutes } from "./ccn-routes/messages.ts";
import type { CcnLimits, NodeParts } from "./ccn-routes/node-parts.ts";
import { accountFaults } from "./faults/account-faults.ts";
import type { Faults } from "./faults/faults.ts";
import { fileFaults, loseUploads } from "./faults/file-faults.ts";
import { hurriedRetries, messageFaults, processingFault } from "./faults/message-faults.ts";
import { ContentStore, type ContentStoreOptions } from "./content-store.ts";
import { answerErrors, refusal } from "./http-refusal.ts";
import { createMessageSocket } from "./message-socket.ts";
import { MessageStore, type ProcessedRecord } from "./message-store.ts";
import { NETWORK_RETRIES, Processor, type RetryPolicy } from "./processor.ts";
import type { NodeStore, ProcessedMessage } from "./store.ts";

/** Least `keepAliveTimeout` of the server that carries these routes: the SDK reuses sockets after long pauses. */
export const KEEP_ALIVE_MS = 120_000;

const MIB = 1_048_576;
/** The network's defaults. */
const NETWORK_LIMITS: CcnLimits = {
  storageBytes: 100 * MIB,
  ipfsBytes: 1024 * MIB,
  carBytes: 4096 * MIB,
  unauthenticatedBytes: 25 * MIB,
};
/** A thousand dollars in credits, and no ALEPH: holding it is on its way out. */
const FUNDED: Balance = { aleph: 0, credits: 1_000_000_000 };
/** How long a publisher that asks for the result is kept waiting. */
const SYNC_WAIT_MS = 30_000;
const GRACE_MS = 24 * 3600 * 1000;

export interface CcnOptions {
  readonly dataDir: string;
  /** Absent ones are the network's. */
  readonly limits?: Partial<CcnLimits>;
  /** False: also process programs that no CRN would start, as the network does. */
  readonly strict?: boolean;
  /** Of every address. */
  readonly balance?: Balance;
  readonly retries?: RetryPolicy;
  readonly openPart?: ContentStoreOptions["openPart"];
  /** What it does wrong on purpose. */
  readonly faults?: Faults | undefined;
}

export interface Ccn {
  /** To be mounted at the root: paths begin with /api/v0 or /ipfs. */
  readonly router: Router;
  readonly store: NodeStore;
  /** For a server's `upgrade`. False when the path is none of the CCN's; the socket is untouched then. */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean;
  /** Ends sockets and timers and closes the journal. The HTTP server must be closed before. */
  close(): Promise<void>;
}

/** Errors: `data_directory`. */
export async function createCcn(options: CcnOptions): Promise<Ccn> {
  const files = await ContentStore.open({
    dataDir: options.dataDir,
    ...(options.openPart && { openPart: options.openPart }),
  });
  const messages = await MessageStore.open(options.dataDir);
  await sweepFiles(messages, files);
  const accounts = new Accounts(options.balance ?? FUNDED, messages, files);
  const { faults } = options;
  if (faults !== undefined) loseUploads(files, faults);
  const retries = options.retries ?? NETWORK_RETRIES;
  const processor = new Processor(
    { messages, files, accounts },
    {
      strict: options.strict ?? true,
      retries: faults === undefined ? retries : hurriedRetries(retries, faults),
      fault: faults === undefined ? undefined : processingFault(faults),
    },
  );
  const socket = createMessageSocket(messages, processor);
  processor.resume();
  const limits = { ...NETWORK_LIMITS, ...options.limits };
  return {
    router: createRouter(
      { messages, files, accounts, processor, limits, syncWaitMs: () => syncWaitMs(faults) },
      faults,
    ),
    store: createNodeStore(messages, files),
    handleUpgrade: (request, duplex, head) => socket.handleUpgrade(request, duplex, head),
    async close() {
      socket.close();
      await processor.close();
      await messages.close();
    },
  };
}

function syncWaitMs(faults: Faults | undefined): number {
  return Math.min(SYNC_WAIT_MS, faults?.take("hurry") ?? Infinity);
}

function createRouter(parts: NodeParts, faults: Faults | undefined): Router {
  const router = Router();
  const api = Router();
  api.use(allowBrowsers);
  if (faults !== undefined) api.use(messageFaults(faults), fileFaults(faults), accountFaults(faults));
  api.use(messageRoutes(parts), fileRoutes(parts), accountRoutes(parts));
  api.use(() => {
    throw refusal(404, "the local node has no such endpoint");
  });
  router.use("/api/v0", api);
  router.use("/ipfs", allowBrowsers);
  router.use(gatewayRoutes(parts));
  router.use(answerErrors);
  return router;
}

const allowBrowsers: RequestHandler = (req, res, next) => {
  res.set("Access-Control-Allow-Origin", "*");
  if (req.method !== "OPTIONS") {
    next();
    return;
  }
  res.set({ "Access-Control-Allow-Methods": "GET, POST", "Access-Control-Allow-Headers": "*" }).status(204).end();
};

function createNodeStore(messages: MessageStore, files: ContentStore): NodeStore {
  return {
    message: async (hash) => {
      const record = messages.processed(hash);
      return record && toProcessed(record);
    },
    filePath: (hash) => files.path(hash),
    programs: async () => messages.allProcessed("PROGRAM").map(toProcessed),
  };
}

function toProcessed({ envelope, item }: ProcessedRecord): ProcessedMessage {
  const { item_hash: itemHash, type, sender } = envelope;
  return { itemHash, type, sender, itemContent: item.text, content: item.content };
}

/** Files without a STORE message are kept for a day. */
async function sweepFiles(messages: MessageStore, files: ContentStore): Promise<void> {
  const kept = new Set<string>();
  for (const record of messages.all()) {
    if (record.status === "forgotten" || record.status === "rejected") continue;
    // A stored content is a file of its own.
    kept.add(record.envelope.item_hash);
    const stored = record.item?.content["item_hash"];
    if (typeof stored === "string") kept.add(stored);
  }
  await files.sweep((hash: FileHash) => kept.has(hash), Date.now() - GRACE_MS);
}
