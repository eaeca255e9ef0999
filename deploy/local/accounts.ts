/** What every address of the local node owns, and whether it can pay. Source: pyaleph 0.10, services/cost_validation.py. */
import { parseFileHash, parseItemHash } from "../../src/domain/hash.ts";
import { readContent, type Content } from "../messages/contents.ts";
import type { ContentStore } from "./content-store.ts";
import { costOf, toDecimal, toUnits, totalOf, type Cost, type SizeOf } from "./costs.ts";
import type { MessageStore } from "./message-store.ts";
import { Rejection } from "./rejection.ts";

/** Fixed, for whoever asks: nothing is bought here. */
export interface Balance {
  readonly aleph: number;
  /** 1,000,000 are one dollar. */
  readonly credits: number;
}

const DAY_SECONDS = 86_400n;
/** A STORE of this size or less is free for a holder of ALEPH, unless it comes with its upload. */
const FREE_STORE_BYTES = 25n * 1_048_576n;

export class Accounts {
  readonly balance: Balance;
  readonly #messages: MessageStore;
  readonly #files: ContentStore;

  constructor(balance: Balance, messages: MessageStore, files: ContentStore) {
    this.balance = balance;
    this.#messages = messages;
    this.#files = files;
  }

  /** Bytes behind a STORE message, or of a file. */
  readonly sizeOf: SizeOf = async (hash) => {
    const content = this.#messages.processed(parseItemHash(hash))?.item.content;
    const file = typeof content?.["item_hash"] === "string" ? content["item_hash"] : hash;
    return this.#files.bytes(parseFileHash(file));
  };

  /** ALEPH held for this address's messages. */
  async locked(owner: string): Promise<bigint> {
    return this.#running(owner, "hold", true);
  }

  /** Errors: a `Rejection` with code 5 or 6. */
  async requireFunds(
    read: Content,
    options: { readonly sizeOf?: SizeOf; readonly smallIsFree: boolean },
  ): Promise<void> {
    const cost = await costOf(read, options.sizeOf ?? this.sizeOf);
    if (cost === undefined) return;
    if (cost.payment === "credit") await this.#requireCredits(cost);
    if (cost.payment === "hold") await this.#requireHold(cost, options.smallIsFree);
  }

  /** A day of everything that runs must be there when one more thing is published. */
  async #requireCredits(cost: Cost): Promise<void> {
    const perSecond = (await this.#running(cost.owner, "credit", false)) + totalOf(cost);
    const required = perSecond * DAY_SECONDS;
    const owned = toUnits(this.balance.credits);
    if (required <= owned) return;
    const error = { required_credits: toDecimal(required), account_credits: toDecimal(owned), min_runtime_days: 1 };
    throw new Rejection(6, { errors: [error] });
  }

  async #requireHold(cost: Cost, smallIsFree: boolean): Promise<void> {
    if (smallIsFree && isSmallStore(cost)) return;
    const required = (await this.#running(cost.owner, "hold", true)) + totalOf(cost);
    const owned = toUnits(this.balance.aleph);
    if (required <= owned) return;
    throw new Rejection(5, {
      errors: [{ required_balance: toDecimal(required), account_balance: toDecimal(owned) }],
    });
  }

  async #running(owner: string, payment: "hold" | "credit", smallIsFree: boolean): Promise<bigint> {
    let sum = 0n;
    for (const { envelope, item } of this.#messages.allProcessed()) {
      if (item.content["address"] !== owner) continue;
      const result = readContent(envelope.type, item.content);
      const cost = result.ok ? await costOf(result.read, this.sizeOf) : undefined;
      if (cost?.payment === payment && !(smallIsFree && isSmallStore(cost))) sum += totalOf(cost);
    }
    return sum;
  }
}

function isSmallStore(cost: Cost): boolean {
  return cost.lines.every((line) => line.type === "STORAGE" && (line.bytes ?? 0n) <= FREE_STORE_BYTES);
}
