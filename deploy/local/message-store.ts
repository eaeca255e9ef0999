/**
 * The local node's messages: in memory, and in one append-only journal of JSON lines, <dataDir>/messages.jsonl. A line
 * holds a message's whole state; the last line of a message counts. A line torn by a kill is cut off at the next start.
 */
import { mkdir, open, readFile, truncate, type FileHandle } from "node:fs/promises";
import { join } from "node:path";

import { isDiskFull } from "../files/disk-full.ts";
import { CodedError } from "../../src/domain/errors.ts";
import type { ItemHash } from "../../src/domain/hash.ts";
import type { Envelope } from "../messages/envelope.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

interface RecordBase {
  readonly envelope: Envelope;
  /** ISO 8601. */
  readonly receivedAt: string;
}

/** A message's text and its content; a stored (not inline) content is unknown until its file is here. */
export interface ItemContent {
  readonly text: string;
  readonly content: JsonObject;
}

export type MessageRecord =
  | (RecordBase & { readonly status: "pending"; readonly item?: ItemContent })
  | (RecordBase & { readonly status: "processed"; readonly item: ItemContent })
  | (RecordBase & {
      readonly status: "rejected";
      readonly item?: ItemContent;
      readonly errorCode: number;
      readonly details: unknown;
    })
  | (RecordBase & {
      readonly status: "forgotten";
      readonly item: ItemContent;
      readonly forgottenBy: ItemHash;
      readonly forgottenAt: string;
    });

export type ProcessedRecord = Extract<MessageRecord, { status: "processed" }>;

export class MessageStore {
  readonly #records = new Map<ItemHash, MessageRecord>();
  readonly #journal: FileHandle;
  #tail: Promise<unknown> = Promise.resolve();

  private constructor(journal: FileHandle) {
    this.#journal = journal;
  }

  /** Errors: `data_directory` when the journal cannot be used or holds what this node never wrote. */
  static async open(dataDir: string): Promise<MessageStore> {
    const path = join(dataDir, "messages.jsonl");
    const records = await readJournal(dataDir, path);
    const store = new MessageStore(await open(path, "a"));
    for (const record of records) store.#records.set(record.envelope.item_hash, record);
    return store;
  }

  get(hash: ItemHash): MessageRecord | undefined {
    return this.#records.get(hash);
  }

  processed(hash: ItemHash): ProcessedRecord | undefined {
    const record = this.#records.get(hash);
    return record?.status === "processed" ? record : undefined;
  }

  /** In the order in which they first arrived. */
  all(): MessageRecord[] {
    return [...this.#records.values()];
  }

  allProcessed(type?: Envelope["type"]): ProcessedRecord[] {
    return this.all().filter(
      (record) => record.status === "processed" && (type === undefined || record.envelope.type === type),
    ) as ProcessedRecord[];
  }

  /** The state is visible once it is on disk. Errors: `disk_full`, `data_directory`. */
  async put(record: MessageRecord): Promise<void> {
    const write = this.#tail.then(() => this.#append(record));
    this.#tail = write.catch(() => undefined);
    await write;
  }

  async close(): Promise<void> {
    await this.#tail;
    await this.#journal.close();
  }

  async #append(record: MessageRecord): Promise<void> {
    const line = Buffer.from(`${JSON.stringify(record)}\n`);
    const before = (await this.#journal.stat()).size;
    try {
      await this.#journal.appendFile(line);
      await this.#journal.datasync();
    } catch (error) {
      await this.#journal.truncate(before).catch(() => undefined);
      throw new CodedError(
        isDiskFull(error) ? "disk_full" : "data_directory",
        "cannot write messages.jsonl: is the disk full?",
        {
          cause: error,
        },
      );
    }
    this.#records.set(record.envelope.item_hash, record);
  }
}

async function readJournal(dataDir: string, path: string): Promise<MessageRecord[]> {
  let bytes: Buffer;
  try {
    await mkdir(dataDir, { recursive: true });
    bytes = await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw new CodedError("data_directory", `cannot read ${path}`, { cause: error });
  }
  const whole = bytes.lastIndexOf(0x0a) + 1;
  if (whole < bytes.length) await truncate(path, whole);
  const lines = bytes.subarray(0, whole).toString("utf8").split("\n").slice(0, -1);
  return lines.map((line, index) => {
    try {
      return JSON.parse(line) as MessageRecord;
    } catch (error) {
      throw new CodedError("data_directory", `${path}, line ${index + 1}, is damaged: remove the line, or the file`, {
        cause: error,
      });
    }
  });
}
