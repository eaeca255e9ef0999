/**
 * Takes messages from pending to processed or rejected, one at a time, in the network's order: signature, content,
 * schema, permissions, then the rules of the type. Source: pyaleph 0.10, handlers/message_handler.py.
 */
import { EventEmitter } from "node:events";
import { readFile } from "node:fs/promises";

import { parseFileHash, type ItemHash } from "../../src/domain/hash.ts";
import { readContent, type Content } from "../messages/contents.ts";
import type { Envelope } from "../messages/envelope.ts";
import { strictProgramProblems } from "../messages/strict.ts";
import type { ProcessingFault } from "./faults/message-faults.ts";
import type { ItemContent, JsonObject, MessageRecord, ProcessedRecord } from "./message-store.ts";
import { maySend } from "./permissions.ts";
import { Rejection } from "./rejection.ts";
import { forgetTargets, requireRules, type RuleContext } from "./rules.ts";
import { isSignedBySender } from "../messages/verify-signature.ts";

/** A stored content is read whole. */
const STORED_CONTENT_BYTES = 25 * 1_048_576;
/** How often a message that a fault keeps pending is looked at. */
const STALLED_MS = 200;

export interface RetryPolicy {
  readonly maxRetries: number;
  /** Milliseconds before the n-th retry, n from 1. */
  delayMs(n: number): number;
}

/** Waits grow to five minutes: a message that lacks something is rejected after some seven minutes. */
export const NETWORK_RETRIES: RetryPolicy = {
  maxRetries: 10,
  delayMs: (n) => Math.random() * Math.min(2 ** n, 300) * 1000,
};

export interface ProcessorOptions {
  /** Whether a PROGRAM must also meet the rule of a CRN. */
  readonly strict: boolean;
  readonly retries: RetryPolicy;
  /** Asked for each message that is processed. */
  readonly fault?: ProcessingFault | undefined;
}

interface ProcessorEvents {
  settled: [MessageRecord];
}

export class Processor {
  readonly #context: RuleContext;
  readonly #options: ProcessorOptions;
  readonly #events = new EventEmitter<ProcessorEvents>();
  readonly #timers = new Map<ItemHash, NodeJS.Timeout>();
  readonly #attempts = new Map<ItemHash, number>();
  #tail: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(context: RuleContext, options: ProcessorOptions) {
    this.#context = context;
    this.#options = options;
    // One listener for each request that waits.
    this.#events.setMaxListeners(0);
  }

  /** Takes up what was pending when the node stopped. */
  resume(): void {
    this.retryPending();
  }

  /** Something new is here: what waits for it may go on now. */
  retryPending(): void {
    for (const { status, envelope } of this.#context.messages.all()) {
      if (status === "pending") this.#enqueue(envelope.item_hash);
    }
  }

  /** Hears of each message that becomes processed; returns the way to stop. */
  onProcessed(listener: (record: ProcessedRecord) => void): () => void {
    const heard = (record: MessageRecord) => {
      if (record.status === "processed") listener(record);
    };
    this.#events.on("settled", heard);
    return () => void this.#events.off("settled", heard);
  }

  /**
   * Accepts a message whose form is right. With `waitMs`, waits that long for its end; the state at that time is
   * returned. A message that is known is left as it is, unless it was rejected. Errors: `disk_full`, `data_directory`.
   */
  async submit(envelope: Envelope, waitMs: number): Promise<MessageRecord> {
    const hash = envelope.item_hash;
    // Accepting is queued as processing is: two posts of one message become one.
    const accepted = await this.#exclusively(async () => {
      const known = this.#context.messages.get(hash);
      if (known !== undefined && known.status !== "rejected") return known;
      const item = envelope.item_content === undefined ? undefined : parseItem(envelope.item_content);
      const receivedAt = new Date().toISOString();
      const record: MessageRecord = { status: "pending", envelope, receivedAt, ...(item && { item }) };
      await this.#context.messages.put(record);
      this.#attempts.delete(hash);
      return record;
    });
    if (accepted.status !== "pending") return accepted;
    const end = this.#settled(hash, waitMs);
    this.#enqueue(hash);
    await end;
    return this.#context.messages.get(hash) ?? accepted;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    await this.#tail;
  }

  #settled(hash: ItemHash, waitMs: number): Promise<void> {
    if (waitMs <= 0) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#events.off("settled", heard);
        resolve();
      };
      const heard = (record: MessageRecord) => {
        if (record.envelope.item_hash === hash) done();
      };
      const timer = setTimeout(done, waitMs);
      this.#events.on("settled", heard);
    });
  }

  #exclusively<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#tail.then(work);
    this.#tail = result.catch(() => undefined);
    return result;
  }

  #enqueue(hash: ItemHash): void {
    clearTimeout(this.#timers.get(hash));
    this.#timers.delete(hash);
    void this.#exclusively(() => this.#attempt(hash)).catch(() => undefined);
  }

  async #attempt(hash: ItemHash): Promise<void> {
    const record = this.#context.messages.get(hash);
    if (this.#closed || record?.status !== "pending") return;
    const fault = this.#options.fault?.(record.envelope.type);
    if (fault === "stall") {
      this.#attemptLater(hash, STALLED_MS);
      return;
    }
    let item = record.item;
    let outcome: MessageRecord;
    try {
      if (fault !== undefined) throw fault;
      item = await this.#process(record);
      outcome = { status: "processed", envelope: record.envelope, receivedAt: record.receivedAt, item };
    } catch (error) {
      const rejection = error instanceof Rejection ? error : new Rejection(-1, null, { retry: true });
      const attempts = (this.#attempts.get(hash) ?? 0) + 1;
      if (rejection.retry && attempts <= this.#options.retries.maxRetries) {
        this.#scheduleRetry(hash, attempts);
        return;
      }
      const { code: errorCode, details } = rejection;
      outcome = { ...record, status: "rejected", errorCode, details };
    }
    await this.#context.messages.put(outcome);
    this.#attempts.delete(hash);
    this.#events.emit("settled", outcome);
    if (outcome.status === "processed") this.retryPending();
  }

  /** Attempts made because something new came do not use up retries: only a timer's end counts one. */
  #scheduleRetry(hash: ItemHash, attempts: number): void {
    this.#attemptLater(hash, this.#options.retries.delayMs(attempts), () => this.#attempts.set(hash, attempts));
  }

  #attemptLater(hash: ItemHash, delayMs: number, first: () => void = () => undefined): void {
    if (this.#closed) return;
    const timer = setTimeout(() => {
      first();
      this.#enqueue(hash);
    }, delayMs);
    timer.unref();
    this.#timers.set(hash, timer);
  }

  /** Errors: a `Rejection`. */
  async #process({ envelope }: MessageRecord): Promise<ItemContent> {
    const { messages, files } = this.#context;
    if (!isSignedBySender(envelope)) throw new Rejection(1);
    const item = await this.#loadItem(envelope);
    const result = readContent(envelope.type, item.content);
    if (!result.ok) throw new Rejection(0, { errors: result.problems });
    if (this.#options.strict && envelope.type === "PROGRAM") requireStartable(item.text);
    if (!maySend(messages, envelope, result.read)) {
      const owner = result.read.content.address;
      throw new Rejection(2, { errors: [`${envelope.sender} may not send this for ${owner}`] });
    }
    await requireRules(this.#context, envelope, result.read);
    if (result.read.type === "FORGET") {
      for (const target of forgetTargets(result.read.content)) {
        const record = messages.get(target);
        if (record?.status !== "processed") continue;
        const forgottenAt = new Date().toISOString();
        await messages.put({ ...record, status: "forgotten", forgottenBy: envelope.item_hash, forgottenAt });
        if (record.envelope.type === "STORE")
          await files.touch(parseFileHash(String(record.item.content["item_hash"])));
      }
    }
    return item;
  }

  async #loadItem(envelope: Envelope): Promise<ItemContent> {
    let text = envelope.item_content;
    if (text === undefined) {
      const hash = parseFileHash(envelope.item_hash);
      const bytes = await this.#context.files.bytes(hash);
      const path = await this.#context.files.path(hash);
      if (bytes === undefined || path === undefined) throw new Rejection(3, null, { retry: true });
      if (bytes > STORED_CONTENT_BYTES) throw new Rejection(0, { errors: ["the content is too large"] });
      text = await readFile(path, "utf8");
    }
    const item = parseItem(text);
    if (item === undefined) throw new Rejection(0, { errors: ["the content is not a JSON object"] });
    return item;
  }
}

/** Undefined when the text is no JSON object. */
export function parseItem(text: string): ItemContent | undefined {
  try {
    const content: unknown = JSON.parse(text);
    if (typeof content !== "object" || content === null || Array.isArray(content)) return undefined;
    return { text, content: content as JsonObject };
  } catch {
    return undefined;
  }
}

/**
 * The network's CCNs process such a program, and then no CRN ever starts it: the publisher pays for an address that
 * answers 500. The local node is stricter on purpose, and says which key is at fault.
 */
function requireStartable(itemContent: string): void {
  const problems = strictProgramProblems(itemContent);
  if (problems.length === 0) return;
  throw new Rejection(0, {
    errors: problems,
    hint: "the network would accept this program, but no compute node would start it: spell every default out",
  });
}

/** Content of an unsigned or unchecked message, for the checks of a route. */
export function readItem(envelope: Envelope): Content | undefined {
  const item = envelope.item_content === undefined ? undefined : parseItem(envelope.item_content);
  const result = item === undefined ? undefined : readContent(envelope.type, item.content);
  return result?.ok === true ? result.read : undefined;
}
