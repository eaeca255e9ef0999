/**
 * The network through one API node. This is the only file that imports the SDK: it builds, hashes, signs and broadcasts
 * messages. Uploads are ours, and so are the questions of node-reader.ts, since the SDK hides the node's answers and
 * loses large files.
 */
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
import { chooseEngine, notProcessed, refusedBy, requireAccepted, toRejectedError, type UploadWay } from "./answers.ts";
import { parseApiServer, parseOwner, requireStartable, requireUnchanged } from "./checks.ts";
import { estimateCost, nameOf, withoutTime, withSizes } from "./estimates.ts";
import { SPENT_CODES } from "../messages/rejections.ts";
import { isTimeout, orGiveUp, statusOf } from "./give-up.ts";
import { interrupted, PASSING_STATUSES, pause, unreachable } from "./http.ts";
import { CHANNEL, toProgramContent, toStoreContent } from "./messages.ts";
import type { MessageState, MessageStatus, Network, Outbox, ProgramSpec, TransferOptions } from "./network.ts";
import { NodeReader } from "./node-reader.ts";
import { PATIENCE, type Patience } from "./patience.ts";
import { uploadFile } from "./upload.ts";

const FIRST_POLL_MS = 250;
const LONGEST_POLL_MS = 5000;
/** The SDK reuses sockets that the node may have closed. */
const BROADCAST_ATTEMPTS = 3;
const MIB = 1_048_576;

export interface AlephNetworkOptions {
  /** Base URL of an API node. */
  readonly apiServer: string;
  /** `0x` and 64 hexadecimal digits. It is kept by the SDK's account and never shown. */
  readonly privateKey: string;
  /** Absent: the signer itself. */
  readonly owner?: string | undefined;
  /** Absent: a killed run may send a second message that says the same. */
  readonly outbox?: Outbox | undefined;
  /** Default: `PATIENCE`. */
  readonly patience?: Patience | undefined;
}

/** The network, what it costs, and what else an operator does there. Amounts: 1,000,000 credits are one dollar. */
export interface AlephNetwork extends Network {
  /**
   * Credits per hour that a program would cost, volumes included. `sizes` are bytes behind refs that the node does not
   * know yet. Errors: `network_refused`.
   */
  estimateProgram(program: ProgramSpec, sizes?: ReadonlyMap<ItemHash, number>, signal?: AbortSignal): Promise<number>;
  /** Credits per hour for keeping a file. */
  estimateStore(fileHash: FileHash, bytes: number, signal?: AbortSignal): Promise<number>;
  /** Credits per hour of a processed message. */
  price(itemHash: ItemHash, signal?: AbortSignal): Promise<number>;
  /** Credits per hour of everything that the owner keeps and runs and pays with credits. */
  runningCost(signal?: AbortSignal): Promise<number>;
  /** Credits of the address that pays. */
  credits(signal?: AbortSignal): Promise<number>;
  /** Asks the network to forget messages; resolves when it has. Errors: `message_rejected`. */
  forget(hashes: readonly ItemHash[], reason: string, signal?: AbortSignal): Promise<ItemHash>;
  /** Processed PROGRAM messages of the owner that refer to one of these STORE messages. */
  programsUsing(refs: readonly ItemHash[], signal?: AbortSignal): Promise<readonly ItemHash[]>;
  /** Processed PROGRAM messages of the owner with this name, as this product names them. */
  programsNamed(name: string, signal?: AbortSignal): Promise<readonly ItemHash[]>;
  /** Content of one of an address's aggregates; undefined where there is none. */
  aggregate(address: string, key: string, signal?: AbortSignal): Promise<Readonly<Record<string, unknown>> | undefined>;
  /** Publishes an AGGREGATE of the owner; its members replace those of the same name. */
  publishAggregate(key: string, content: object, signal?: AbortSignal): Promise<ItemHash>;
}

/** Errors: `config_invalid`, `key_invalid`. No connection is opened. */
export function createAlephNetwork(options: AlephNetworkOptions): AlephNetwork {
  const account = importAccount(options.privateKey);
  return new AlephNodeNetwork(parseApiServer(options.apiServer), account, {
    owner: options.owner === undefined ? account.address : parseOwner(options.owner),
    outbox: options.outbox ?? NO_OUTBOX,
    patience: options.patience ?? PATIENCE,
  });
}

const NO_OUTBOX: Outbox = { get: () => undefined, put: () => Promise.resolve(), remove: () => Promise.resolve() };

type Account = ReturnType<typeof importAccountFromPrivateKey>;

class AlephNodeNetwork extends NodeReader implements AlephNetwork {
  readonly address: string;
  readonly #account: Account;
  readonly #outbox: Outbox;

  constructor(
    apiServer: string,
    account: Account,
    options: { readonly owner: string; readonly outbox: Outbox; readonly patience: Patience },
  ) {
    super(apiServer, options.owner, options.patience);
    this.address = account.address;
    this.#account = account;
    this.#outbox = options.outbox;
  }

  async pin(image: BuiltImage, options: TransferOptions = {}): Promise<PinnedImage> {
    const engine = chooseEngine(image.bytes, await this.limits(options.signal));
    const fileHash: FileHash = engine === "storage" ? (image.sha256 as string as FileHash) : image.cid;
    const key = `store:${this.apiServer}:${this.owner}:${fileHash}`;
    const make = () => toStoreContent(this.#author(), fileHash);
    const { hashed, itemHash, status } = await this.#letter(MessageType.store, key, make, options.signal);
    if (!(await this.holds(fileHash, options.signal))) {
      await requireUnchanged(image);
      await this.#upload(engine, image, fileHash, hashed, options);
    } else if (status === undefined || status === "rejected") {
      await this.#broadcast(hashed, options.signal);
    }
    await this.#waitUntilProcessed(itemHash, options.signal);
    await this.#outbox.remove(key);
    return { sha256: image.sha256, bytes: image.bytes, fileHash, itemHash };
  }

  async #upload(
    way: UploadWay,
    image: BuiltImage,
    fileHash: FileHash,
    hashed: HashedMessage<MessageContent>,
    options: TransferOptions,
  ): Promise<void> {
    const signature = await this.#account.sign(hashed);
    const message = new SignedMessage(Object.assign(hashed, { signature })).getBroadcastable();
    const answer = await uploadFile(
      {
        url: `${this.apiServer}/api/v0/${way === "car" ? "ipfs/add_car" : `${way}/add_file`}`,
        way,
        cid: image.cid,
        path: image.path,
        bytes: image.bytes,
        metadata: JSON.stringify({ message, sync: true }),
        idleMs: this.patience.uploadMs,
      },
      options,
    );
    requireAccepted(answer, image, fileHash, this.owner);
  }

  async publish(program: ProgramSpec, signal?: AbortSignal): Promise<ItemHash> {
    const key = `program:${this.apiServer}:${this.owner}:${nameOf(program)}`;
    const make = () => toProgramContent(this.#author(), program);
    requireStartable(make());
    return this.#send(MessageType.program, key, make, signal);
  }

  async findProgram(program: ProgramSpec, signal?: AbortSignal): Promise<ItemHash | undefined> {
    const wanted = nameOf(withoutTime(toProgramContent(this.#author(), program)));
    const found = await this.owned("PROGRAM", signal);
    return found.find(({ content }) => nameOf(withoutTime(content)) === wanted)?.itemHash;
  }

  async forget(hashes: readonly ItemHash[], reason: string, signal?: AbortSignal): Promise<ItemHash> {
    const key = `forget:${this.apiServer}:${hashes.join(",")}`;
    return this.#send(MessageType.forget, key, () => ({ ...this.#author(), hashes: [...hashes], reason }), signal);
  }

  async publishAggregate(key: string, content: object, signal?: AbortSignal): Promise<ItemHash> {
    const name = `aggregate:${this.apiServer}:${this.owner}:${key}:${nameOf(content)}`;
    return this.#send(MessageType.aggregate, name, () => ({ ...this.#author(), key, content }), signal);
  }

  async estimateProgram(
    program: ProgramSpec,
    sizes: ReadonlyMap<ItemHash, number> = new Map(),
    signal?: AbortSignal,
  ): Promise<number> {
    const content = toProgramContent(this.#author(), program);
    requireStartable(content);
    return estimateCost(this.apiServer, "PROGRAM", withSizes(content, sizes), this.asking(signal));
  }

  async estimateStore(fileHash: FileHash, bytes: number, signal?: AbortSignal): Promise<number> {
    const content = { ...toStoreContent(this.#author(), fileHash), estimated_size_mib: bytes / MIB };
    return estimateCost(this.apiServer, "STORE", content, this.asking(signal));
  }

  #author() {
    return { address: this.owner, time: Date.now() / 1000 };
  }

  /** The message that an earlier run has signed for the same purpose, unless it is gone for good; else a new one. */
  async #letter(
    type: MessageType,
    key: string,
    make: () => { readonly time: number },
    signal: AbortSignal | undefined,
  ): Promise<Letter> {
    const kept = this.#outbox.get(key) as { readonly time: number } | undefined;
    if (kept !== undefined) {
      const hashed = await this.#hash(type, kept);
      const itemHash = parseItemHash(hashed.item_hash);
      const state = await this.message(itemHash, signal);
      if (!isSpent(state)) return { hashed, itemHash, status: state?.status };
    }
    const content = make();
    const hashed = await this.#hash(type, content);
    await this.#outbox.put(key, content);
    return { hashed, itemHash: parseItemHash(hashed.item_hash), status: undefined };
  }

  async #send(
    type: MessageType,
    key: string,
    make: () => { readonly time: number },
    signal: AbortSignal | undefined,
  ): Promise<ItemHash> {
    const { hashed, itemHash, status } = await this.#letter(type, key, make, signal);
    if (status === undefined || status === "rejected") await this.#broadcast(hashed, signal);
    await this.#waitUntilProcessed(itemHash, signal);
    await this.#outbox.remove(key);
    return itemHash;
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

  /** Returns when the node knows the message, whatever its state. Sending one message twice is harmless. */
  async #broadcast(hashed: HashedMessage<MessageContent>, signal: AbortSignal | undefined): Promise<void> {
    const request = { message: hashed, account: this.#account, apiServer: this.apiServer, sync: true };
    for (let number = 1; ; number++) {
      try {
        await orGiveUp(broadcast(request), this.patience.answerMs, signal);
        return;
      } catch (error) {
        if (signal?.aborted === true) throw interrupted();
        // The SDK's errors dump the request and hide the answer, so nothing of them is kept but the HTTP status.
        const status = statusOf(error);
        if ((await this.message(parseItemHash(hashed.item_hash), signal)) !== undefined) return;
        const mayPass = status === undefined || PASSING_STATUSES.has(status);
        if (number < BROADCAST_ATTEMPTS && mayPass) await pause(FIRST_POLL_MS * 4 ** number, signal);
        else if (status !== undefined) throw refusedBy({ status, body: undefined }, "publish the message");
        else throw unreachable(this.apiServer, new Error(isTimeout(error) ? "it took too long" : "it took no message"));
      }
    }
  }

  async #waitUntilProcessed(itemHash: ItemHash, signal: AbortSignal | undefined): Promise<void> {
    const deadline = Date.now() + this.patience.processingMs;
    for (let delayMs = FIRST_POLL_MS; ; delayMs = Math.min(delayMs * 2, LONGEST_POLL_MS)) {
      const state = await this.message(itemHash, signal);
      if (state?.status === "processed") return;
      if (state !== undefined && state.status !== "pending") throw toRejectedError(state, this.owner);
      if (Date.now() > deadline) throw notProcessed(itemHash, state?.status, this.patience.processingMs, this.owner);
      await pause(delayMs, signal);
    }
  }
}

/** Whether a message is of no use any more, so that another has to be signed. */
function isSpent(state: MessageState | undefined): boolean {
  if (state?.status === "rejected") return SPENT_CODES.has(state.rejection?.code ?? -1);
  return state !== undefined && state.status !== "pending" && state.status !== "processed";
}

interface Letter {
  readonly hashed: HashedMessage<MessageContent>;
  readonly itemHash: ItemHash;
  /** Of an earlier attempt. */
  readonly status: MessageStatus | undefined;
}

/** Errors: `key_invalid`. Nothing of the SDK's own error is kept: it may quote the key. */
function importAccount(privateKey: string): Account {
  try {
    return importAccountFromPrivateKey(privateKey);
  } catch {
    throw new CodedError("key_invalid", "the private key is malformed: it takes 0x and 64 hexadecimal digits");
  }
}
