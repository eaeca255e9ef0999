/**
 * The network through one API node. This is the only file that imports the SDK: it builds, hashes, signs and broadcasts
 * messages. Uploads and states are asked for here, since the SDK hides the node's answers and loses large files.
 */
import { stat } from "node:fs/promises";

import { AlephHttpClient } from "@aleph-sdk/client";
import { importAccountFromPrivateKey } from "@aleph-sdk/ethereum";
import {
  broadcast,
  buildMessage,
  ItemType,
  MessageType,
  prepareAlephMessage,
  SignedMessage,
  type HashedMessage,
  type MessageContent,
} from "@aleph-sdk/message";

import { CodedError } from "../../src/domain/errors.ts";
import { parseItemHash, type FileHash, type ItemHash } from "../../src/domain/hash.ts";
import type { BuiltImage, PinnedImage } from "../../src/domain/volume.ts";
import { strictProgramProblems } from "../messages/strict.ts";
import {
  balanceAnswer,
  chooseEngine,
  foundMessages,
  priceAnswer,
  readLimits,
  readMessageState,
  requireAccepted,
  requireShape,
  toRejectedError,
} from "./answers.ts";
import { askNode, interrupted, pause, type JsonAnswer } from "./http.ts";
import { CHANNEL, toProgramContent, toStoreContent } from "./messages.ts";
import type { MessageState, Network, ProgramSpec, TransferOptions, UploadLimits } from "./network.ts";
import { uploadFile } from "./upload.ts";

/** A node retries for 811 s at most before it rejects. */
const PROCESSING_MS = 15 * 60_000;
const FIRST_POLL_MS = 250;
const LONGEST_POLL_MS = 5000;
/** The SDK reuses sockets that the node may have closed. */
const BROADCAST_ATTEMPTS = 3;

export interface AlephNetworkOptions {
  /** Base URL of an API node. */
  readonly apiServer: string;
  /** `0x` and 64 hexadecimal digits. It is kept by the SDK's account and never shown. */
  readonly privateKey: string;
}

/** The network, and what it costs. */
export interface AlephNetwork extends Network {
  /** Credits per hour that a program would cost, volumes included; 1,000,000 credits are one dollar. */
  estimateProgram(program: ProgramSpec, signal?: AbortSignal): Promise<number>;
  /** Credits per hour of a processed message. */
  price(itemHash: ItemHash): Promise<number>;
  /** Credits of the address that pays. */
  credits(signal?: AbortSignal): Promise<number>;
}

/** Errors: `config_invalid`, `key_invalid`. No connection is opened. */
export function createAlephNetwork(options: AlephNetworkOptions): AlephNetwork {
  return new AlephNodeNetwork(parseApiServer(options.apiServer), importAccount(options.privateKey));
}

type Account = ReturnType<typeof importAccountFromPrivateKey>;

class AlephNodeNetwork implements AlephNetwork {
  readonly apiServer: string;
  readonly address: string;
  readonly #account: Account;

  constructor(apiServer: string, account: Account) {
    this.apiServer = apiServer;
    this.address = account.address;
    this.#account = account;
  }

  async limits(signal?: AbortSignal): Promise<UploadLimits> {
    return readLimits(await this.#ask("storage/limits.json", signal));
  }

  async pin(image: BuiltImage, options: TransferOptions = {}): Promise<PinnedImage> {
    const engine = chooseEngine(image.bytes, await this.limits(options.signal));
    await requireUnchanged(image);
    const fileHash: FileHash = engine === "storage" ? (image.sha256 as string as FileHash) : image.cid;
    const content = toStoreContent(this.#author(), fileHash);
    const hashed = await this.#hash(MessageType.store, content);
    const signature = await this.#account.sign(hashed);
    const message = new SignedMessage(Object.assign(hashed, { signature })).getBroadcastable();
    const answer = await uploadFile(
      {
        url: `${this.apiServer}/api/v0/${engine}/add_file`,
        path: image.path,
        bytes: image.bytes,
        metadata: JSON.stringify({ message, sync: true }),
      },
      options,
    );
    const itemHash = parseItemHash(hashed.item_hash);
    requireAccepted(answer, image, fileHash, this.address);
    await this.#waitUntilProcessed(itemHash, options.signal);
    return { sha256: image.sha256, bytes: image.bytes, fileHash, itemHash };
  }

  async holds(fileHash: FileHash, signal?: AbortSignal): Promise<boolean> {
    const { status } = await askNode(`${this.apiServer}/api/v0/storage/raw/${fileHash}`, { signal, method: "HEAD" });
    return status === 200;
  }

  async findPin(fileHash: FileHash, signal?: AbortSignal): Promise<ItemHash | undefined> {
    const query = new URLSearchParams({
      contentHashes: fileHash,
      owners: this.address,
      msgType: "STORE",
      msgStatuses: "processed",
      sortOrder: "1",
      pagination: "1",
    });
    const answer = await this.#ask(`messages.json?${query.toString()}`, signal);
    const [oldest] = requireShape(foundMessages, answer, "look for a pin").messages;
    return oldest === undefined ? undefined : parseItemHash(oldest.item_hash);
  }

  async publish(program: ProgramSpec, signal?: AbortSignal): Promise<ItemHash> {
    const hashed = await this.#hashProgram(program);
    const itemHash = parseItemHash(hashed.item_hash);
    await this.#broadcast(hashed, signal);
    await this.#waitUntilProcessed(itemHash, signal);
    return itemHash;
  }

  async message(itemHash: ItemHash, signal?: AbortSignal): Promise<MessageState | undefined> {
    return readMessageState(itemHash, await this.#ask(`messages/${itemHash}`, signal));
  }

  async estimateProgram(program: ProgramSpec, signal?: AbortSignal): Promise<number> {
    const hashed = await this.#hashProgram(program);
    const answer = await askNode(`${this.apiServer}/api/v0/price/estimate`, {
      body: { message: hashed.getEstimatedCostRequestSchema() },
      signal,
    });
    return toCreditsPerHour(requireShape(priceAnswer, answer, "estimate the price").cost);
  }

  async price(itemHash: ItemHash): Promise<number> {
    try {
      const client = new AlephHttpClient(this.apiServer);
      return toCreditsPerHour((await client.programClient.getCost(itemHash)).cost);
    } catch (error) {
      const status = statusOf(error);
      throw new CodedError("network_refused", `the node gives no price for ${itemHash} (${status ?? "no answer"})`);
    }
  }

  async credits(signal?: AbortSignal): Promise<number> {
    const answer = await this.#ask(`addresses/${this.address}/balance`, signal);
    return requireShape(balanceAnswer, answer, "read the balance").credit_balance;
  }

  #ask(path: string, signal: AbortSignal | undefined): Promise<JsonAnswer> {
    return askNode(`${this.apiServer}/api/v0/${path}`, { signal });
  }

  #author() {
    return { address: this.address, time: Date.now() / 1000 };
  }

  /** Built, and hashed as the exact text that will be sent. */
  async #hash(type: MessageType, content: { readonly time: number }): Promise<HashedMessage<MessageContent>> {
    const message = buildMessage(
      {
        account: this.#account,
        channel: CHANNEL,
        timestamp: content.time,
        storageEngine: ItemType.inline,
        // The SDK's content types are narrower than the network's: they know neither credits nor fixed refs.
        content: content as unknown as MessageContent,
      },
      type,
    );
    return prepareAlephMessage({ message, apiServer: this.apiServer });
  }

  /** Errors: `message_invalid` for what no compute node would start. */
  async #hashProgram(program: ProgramSpec): Promise<HashedMessage<MessageContent>> {
    const content = toProgramContent(this.#author(), program);
    const problems = strictProgramProblems(JSON.stringify(content));
    if (problems.length > 0) {
      throw new CodedError("message_invalid", `this program would never start: ${problems.join("; ")}`);
    }
    return this.#hash(MessageType.program, content);
  }

  /** Returns when the node knows the message, whatever its state. Sending one message twice is harmless. */
  async #broadcast(hashed: HashedMessage<MessageContent>, signal: AbortSignal | undefined): Promise<void> {
    const request = { message: hashed, account: this.#account, apiServer: this.apiServer, sync: true };
    for (let number = 1; ; number++) {
      try {
        await unlessAborted(signal, broadcast(request));
        return;
      } catch (error) {
        if (signal?.aborted === true) throw interrupted();
        // The SDK's errors dump the request and hide the answer, so nothing of them is kept but the HTTP status.
        const status = statusOf(error);
        if ((await this.message(parseItemHash(hashed.item_hash), signal)) !== undefined) return;
        if (status !== undefined) {
          throw new CodedError("network_refused", `the node at ${this.apiServer} refused the program: HTTP ${status}`);
        }
        if (number === BROADCAST_ATTEMPTS) {
          throw new CodedError(
            "network_unreachable",
            `the node at ${this.apiServer} did not take the program: try again`,
          );
        }
      }
    }
  }

  async #waitUntilProcessed(itemHash: ItemHash, signal: AbortSignal | undefined): Promise<void> {
    const deadline = Date.now() + PROCESSING_MS;
    for (let delayMs = FIRST_POLL_MS; ; delayMs = Math.min(delayMs * 2, LONGEST_POLL_MS)) {
      const state = await this.message(itemHash, signal);
      if (state?.status === "processed") return;
      if (state !== undefined && state.status !== "pending") throw toRejectedError(state, this.address);
      if (Date.now() > deadline) {
        throw new CodedError("network_refused", `message ${itemHash} is still not processed: ask for its status later`);
      }
      await pause(delayMs, signal);
    }
  }
}

/** Errors: `config_invalid`. */
function parseApiServer(text: string): string {
  if (process.env["ALEPH_API_UNIX_SOCKET"]) {
    throw new CodedError(
      "config_invalid",
      "ALEPH_API_UNIX_SOCKET is set: the SDK would send everything to that socket. Unset it",
    );
  }
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== "http:" && url?.protocol !== "https:") {
    throw new CodedError("config_invalid", `not the URL of an API node: "${text}"`);
  }
  return text.replace(/\/+$/, "");
}

/** Errors: `key_invalid`. Nothing of the SDK's own error is kept: it may quote the key. */
function importAccount(privateKey: string): Account {
  try {
    return importAccountFromPrivateKey(privateKey);
  } catch {
    throw new CodedError("key_invalid", "the private key is malformed: it takes 0x and 64 hexadecimal digits");
  }
}

/** Errors: `image_invalid`. */
async function requireUnchanged(image: BuiltImage): Promise<void> {
  const size = await stat(image.path).then(
    (stats) => stats.size,
    () => undefined,
  );
  if (size === image.bytes) return;
  const found = size === undefined ? "is gone" : `has ${size} bytes instead of ${image.bytes}`;
  throw new CodedError("image_invalid", `${image.path} ${found}: build it again`);
}

/** The HTTP status in one of the SDK's errors; undefined when there was no answer. */
function statusOf(error: unknown): number | undefined {
  const status = (error as { response?: { status?: number } } | undefined)?.response?.status;
  const inText = error instanceof Error ? /status code (\d{3})/.exec(error.message)?.[1] : undefined;
  return status ?? (inText === undefined ? undefined : Number(inText));
}

function toCreditsPerHour(perSecond: string): number {
  return Number(perSecond) * 3600;
}

/** The SDK knows no signal: its request is left to end by itself. */
async function unlessAborted<Result>(signal: AbortSignal | undefined, work: Promise<Result>): Promise<Result> {
  if (signal === undefined) return work;
  signal.throwIfAborted();
  const listening = new AbortController();
  const aborted = new Promise<never>((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(interrupted()), { signal: listening.signal });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    listening.abort();
  }
}
