/** What an API node tells of the network: files, messages, prices, balances. Nothing is signed or sent here. */
import { parseItemHash, type FileHash, type ItemHash } from "../../src/domain/hash.ts";
import {
  balanceAnswer,
  foundMessages,
  listedMessages,
  priceAnswer,
  readLimits,
  readMessageState,
  refusedBy,
  requireShape,
} from "./answers.ts";
import { toCreditsPerHour } from "./estimates.ts";
import { askNode, type JsonAnswer } from "./http.ts";
import type { MessageState, UploadLimits } from "./network.ts";
import type { Patience } from "./patience.ts";
import { readAggregate } from "./read-message.ts";

const PAGE_MESSAGES = 200;
/** Of one type, of one owner: far more than anybody runs. */
const MOST_PAGES = 100;

/** The reading half of a `Network`, for one owner. Errors of all its methods: `network_refused`, `network_unreachable`, `interrupted`. */
export class NodeReader {
  readonly apiServer: string;
  /** Whose pins and programs are looked for, and who pays. */
  readonly owner: string;
  protected readonly patience: Patience;

  constructor(apiServer: string, owner: string, patience: Patience) {
    this.apiServer = apiServer;
    this.owner = owner;
    this.patience = patience;
  }

  async limits(signal?: AbortSignal): Promise<UploadLimits> {
    return readLimits(await this.ask("storage/limits.json", signal));
  }

  async holds(fileHash: FileHash, signal?: AbortSignal): Promise<boolean> {
    const url = `${this.apiServer}/api/v0/storage/raw/${fileHash}`;
    const answer = await askNode(url, { ...this.asking(signal), method: "HEAD" });
    if (answer.status === 200) return true;
    if (answer.status === 404 || answer.status === 410) return false;
    throw refusedBy(answer, `look for the file ${fileHash}`);
  }

  async findPin(fileHash: FileHash, signal?: AbortSignal): Promise<ItemHash | undefined> {
    const query = new URLSearchParams({
      contentHashes: fileHash,
      owners: this.owner,
      msgType: "STORE",
      msgStatuses: "processed",
      sortOrder: "1",
      pagination: "1",
    });
    const answer = await this.ask(`messages.json?${query.toString()}`, signal);
    const [oldest] = requireShape(foundMessages, answer, "look for a pin").messages;
    return oldest === undefined ? undefined : parseItemHash(oldest.item_hash);
  }

  async programsUsing(refs: readonly ItemHash[], signal?: AbortSignal): Promise<readonly ItemHash[]> {
    const found = await this.owned("PROGRAM", signal);
    return found
      .filter(({ content }) => refs.some((ref) => JSON.stringify(content).includes(`"${ref}"`)))
      .map(({ itemHash }) => itemHash);
  }

  async programsNamed(name: string, signal?: AbortSignal): Promise<readonly ItemHash[]> {
    const found = await this.owned("PROGRAM", signal);
    return found
      .filter(({ content }) => {
        const { metadata, variables } = content as { metadata?: { name?: string }; variables?: object };
        return metadata?.name === name && "PINFERENCE_MODEL" in (variables ?? {});
      })
      .map(({ itemHash }) => itemHash);
  }

  async aggregate(address: string, key: string, signal?: AbortSignal) {
    return readAggregate(this.apiServer, address, key, this.asking(signal));
  }

  async message(itemHash: ItemHash, signal?: AbortSignal): Promise<MessageState | undefined> {
    return readMessageState(itemHash, await this.ask(`messages/${itemHash}`, signal));
  }

  async price(itemHash: ItemHash, signal?: AbortSignal): Promise<number> {
    const answer = await this.ask(`price/${itemHash}`, signal);
    return toCreditsPerHour(requireShape(priceAnswer, answer, `read the price of ${itemHash}`).cost);
  }

  async runningCost(signal?: AbortSignal): Promise<number> {
    const found = [...(await this.owned("STORE", signal)), ...(await this.owned("PROGRAM", signal))];
    const paid = found.filter(({ content }) => (content["payment"] as { type?: string } | null)?.type === "credit");
    let sum = 0;
    for (const { itemHash } of paid) sum += await this.price(itemHash, signal);
    return sum;
  }

  async credits(signal?: AbortSignal): Promise<number> {
    const answer = await this.ask(`addresses/${this.owner}/balance`, signal);
    return requireShape(balanceAnswer, answer, "read the balance").credit_balance;
  }

  protected ask(path: string, signal: AbortSignal | undefined): Promise<JsonAnswer> {
    return askNode(`${this.apiServer}/api/v0/${path}`, this.asking(signal));
  }

  protected asking(signal: AbortSignal | undefined) {
    return { signal, timeoutMs: this.patience.answerMs };
  }

  /** The owner's processed messages of a type, oldest first. */
  protected async owned(type: "PROGRAM" | "STORE", signal: AbortSignal | undefined) {
    const found: { itemHash: ItemHash; content: Readonly<Record<string, unknown>> }[] = [];
    for (let page = 1; page <= MOST_PAGES; page++) {
      const query = new URLSearchParams({
        owners: this.owner,
        msgType: type,
        msgStatuses: "processed",
        sortOrder: "1",
        pagination: String(PAGE_MESSAGES),
        page: String(page),
      });
      const answer = await this.ask(`messages.json?${query.toString()}`, signal);
      const { messages } = requireShape(listedMessages, answer, `list the ${type} messages of ${this.owner}`);
      found.push(...messages.map(({ item_hash, content }) => ({ itemHash: parseItemHash(item_hash), content })));
      if (messages.length < PAGE_MESSAGES) break;
    }
    return found;
  }
}
