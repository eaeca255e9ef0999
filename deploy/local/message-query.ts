/** The filters that messages.json and the WebSocket share. Source: pyaleph 0.10, schemas/messages_query_params.py. */
import type { JsonObject, MessageRecord } from "./message-store.ts";

const PAGE_MESSAGES = 20;

/** Values of a query string. Lists come as `a,b`. */
export type Query = Readonly<Record<string, unknown>>;
type Field = (record: MessageRecord) => unknown;

const content =
  (...path: readonly string[]): Field =>
  (record) =>
    path.reduce<unknown>((value, key) => (value as JsonObject | undefined)?.[key], record.item?.content);

const LIST_FILTERS: Readonly<Record<string, Field>> = {
  hashes: (record) => record.envelope.item_hash,
  addresses: (record) => record.envelope.sender,
  owners: content("address"),
  msgType: (record) => record.envelope.type,
  msgTypes: (record) => record.envelope.type,
  refs: content("ref"),
  contentHashes: content("item_hash"),
  contentTypes: content("type"),
  contentKeys: content("key"),
  channels: (record) => record.envelope.channel,
  chains: (record) => record.envelope.chain,
  tags: content("content", "tags"),
  paymentTypes: content("payment", "type"),
};

/** Unknown names are ignored, as the network does. */
export function matchesQuery(record: MessageRecord, query: Query): boolean {
  const { time } = record.envelope;
  return (
    time >= toNumber(query["startDate"], 0) &&
    time < (toNumber(query["endDate"], 0) || Infinity) &&
    Object.entries(LIST_FILTERS).every(([name, field]) => {
      const wanted = toList(query[name]);
      if (wanted.length === 0) return true;
      const value = field(record);
      return Array.isArray(value) ? value.some((one) => wanted.includes(String(one))) : wanted.includes(String(value));
    })
  );
}

export interface Page {
  readonly records: readonly MessageRecord[];
  readonly page: number;
  /** 0 is all. */
  readonly perPage: number;
  readonly total: number;
}

export function queryMessages(records: readonly MessageRecord[], query: Query): Page {
  const statuses = toList(query["msgStatuses"] ?? "processed,removing");
  const order = toNumber(query["sortOrder"] ?? query["sort_order"], -1) < 0 ? -1 : 1;
  const found = records
    .filter((record) => statuses.includes(record.status) && matchesQuery(record, query))
    .sort((a, b) => order * (a.envelope.time - b.envelope.time));
  const page = Math.max(1, Math.floor(toNumber(query["page"], 1)));
  const perPage = Math.max(0, Math.floor(toNumber(query["pagination"], PAGE_MESSAGES)));
  const shown = perPage === 0 ? found : found.slice((page - 1) * perPage, page * perPage);
  return { records: shown, page, perPage, total: found.length };
}

function toList(value: unknown): string[] {
  return typeof value === "string" && value !== "" ? value.split(",") : [];
}

function toNumber(value: unknown, absent: number): number {
  const number = typeof value === "string" && value !== "" ? Number(value) : Number.NaN;
  return Number.isFinite(number) ? number : absent;
}
