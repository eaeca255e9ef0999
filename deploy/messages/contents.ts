/**
 * The contents of messages, as a CCN reads them: types are coerced, defaults filled in, unknown keys of inner objects
 * dropped, `null` taken for absent. What the schemas return is the content as the network's own models dump it, which
 * is what the strict rule of a CRN compares with (strict.ts). Source: aleph-message 1.1.1, models/.
 */
import * as z from "zod";

import { parseItemHash, storageEngineOf } from "../../src/domain/hash.ts";

/** `null` counts as absent, and an absent key stays absent. */
function optional<Schema extends z.ZodType>(schema: Schema) {
  return z.preprocess((value) => value ?? undefined, schema.optional());
}

function integer(least: number, most: number) {
  return z.preprocess(toNumber, z.int().min(least).max(most));
}

/** The network's models read numbers in strings and truth in words; the strict rule then refuses the message. */
function toNumber(value: unknown): unknown {
  return typeof value === "string" && /^\s*[+-]?\d+(\.\d+)?\s*$/.test(value) ? Number(value) : value;
}

const WORDS = new Map<unknown, boolean>([
  ...[1, "1", "true", "t", "yes", "y", "on"].map((word) => [word, true] as const),
  ...[0, "0", "false", "f", "no", "n", "off"].map((word) => [word, false] as const),
]);
const boolean = z.preprocess(
  (value) => WORDS.get(typeof value === "string" ? value.toLowerCase() : value) ?? value,
  z.boolean(),
);

const seconds = z.preprocess(toNumber, z.number().min(0).max(9_223_372_036));
const itemHash = z.string().refine(isItemHash, {
  message: "not an item hash: 64 lowercase hex digits, Qm… or bafy…",
  // Checks of whole contents rely on it.
  abort: true,
});
const freeObject = z.record(z.string(), z.unknown());

function isItemHash(text: string): boolean {
  try {
    return parseItemHash(text) === text;
  } catch {
    return false;
  }
}

function boundedObject(entries: number) {
  return freeObject.refine((value) => Object.keys(value).length <= entries, `at most ${entries} entries`);
}

export const CHAINS = (
  "ARB AURORA AVAX BASE BLAST BOB BSC CSDK CYBER DOT ES ETH ETHERLINK FRAX HYPE INK LENS LINEA LISK METIS MODE NEO " +
  "NULS NULS2 OP POL SOL STT SONIC TEZOS UNICHAIN WLD ZORA"
).split(" ");
const chain = z.string().refine((name) => CHAINS.includes(name), "not a chain of the network");

const payment = z.object({
  chain: optional(chain),
  receiver: optional(z.string()),
  type: z.enum(["hold", "superfluid", "credit"]),
});

const base = {
  address: z.string(),
  time: seconds,
  // Newer nodes take labels; older readers refuse them, and so does the strict rule.
  tags: optional(z.array(z.string().max(256)).max(16)),
};

/** Unknown keys of a STORE are dropped: `extra_fields` of the SDK is lost on the network. */
const storeContent = z
  .object({
    ...base,
    item_type: z.enum(["storage", "ipfs"]),
    item_hash: itemHash,
    ref: optional(z.string()),
    size: optional(z.preprocess(toNumber, z.number())),
    content_type: optional(z.string()),
    metadata: optional(freeObject),
    payment: optional(payment),
  })
  .refine((content) => storageEngineOf(parseItemHash(content.item_hash)) === content.item_type, {
    path: ["item_type"],
    message: "does not fit item_hash: a sha256 is `storage`, a CID is `ipfs`",
  })
  .refine((content) => content.payment?.type !== "superfluid", {
    path: ["payment", "type"],
    message: "a STORE is paid with `hold` or `credit`",
  });

const encoding = z.enum(["plain", "zip", "squashfs"]);
const comment = optional(z.string().max(256));
const mount = optional(z.string());

const immutableVolume = z.strictObject({ comment, mount, ref: itemHash, use_latest: boolean.default(true) });
const ephemeralVolume = z.strictObject({
  comment,
  mount,
  ephemeral: z.literal(true).default(true),
  size_mib: integer(1, 1000),
});
const persistentVolume = z.strictObject({
  comment,
  mount,
  name: optional(z.string()),
  parent: optional(z.object({ ref: itemHash, use_latest: boolean.default(true) })),
  persistence: optional(z.enum(["host", "store"])),
  size_mib: integer(1, 1_953_125),
});

const requirements = z.strictObject({
  cpu: optional(
    z.strictObject({
      architecture: optional(z.enum(["x86_64", "arm64"])),
      vendor: optional(z.string()),
      features: optional(z.array(z.string())),
    }),
  ),
  node: optional(
    z.strictObject({
      owner: optional(z.string()),
      address_regex: optional(z.string().max(256)),
      node_hash: optional(itemHash),
      terms_and_conditions: optional(itemHash),
    }),
  ),
  gpu: optional(
    z.array(
      z.strictObject({ vendor: z.string(), device_name: z.string(), device_class: z.string(), device_id: z.string() }),
    ),
  ),
});

const port = z.object({ protocol: z.enum(["tcp", "udp"]).default("tcp"), port: integer(1, 65_535) });

const programContent = z.strictObject({
  ...base,
  type: z.literal("vm-function"),
  allow_amend: boolean,
  code: z.object({
    encoding,
    entrypoint: z.string(),
    ref: itemHash,
    interface: optional(z.enum(["asgi", "binary"])),
    args: optional(z.array(z.string())),
    use_latest: boolean.default(false),
  }),
  runtime: z.object({ ref: itemHash, use_latest: boolean.default(true), comment: z.string() }),
  data: optional(z.object({ encoding, mount: z.string(), ref: itemHash, use_latest: boolean.default(false) })),
  export: optional(z.object({ encoding, mount: z.string() })),
  on: z.strictObject({
    http: boolean,
    message: optional(z.array(boundedObject(32))),
    persistent: optional(boolean),
  }),
  environment: z
    .object({
      reproducible: boolean.default(false),
      internet: boolean.default(false),
      aleph_api: boolean.default(false),
      shared_cache: boolean.default(false),
    })
    .prefault({}),
  resources: z
    .object({
      vcpus: integer(1, 256).default(1),
      memory: integer(1, 1_048_576).default(128),
      seconds: integer(1, 315_360_000).default(1),
      published_ports: optional(z.array(port)),
    })
    .prefault({}),
  requirements: optional(requirements),
  volumes: z
    .array(z.union([immutableVolume, ephemeralVolume, persistentVolume]))
    .max(256)
    .default([]),
  variables: optional(
    z
      .record(z.string().max(128), z.string().max(4096))
      .refine((value) => Object.keys(value).length <= 256, "at most 256 entries"),
  ),
  metadata: optional(boundedObject(256)),
  authorized_keys: optional(z.array(z.string().max(8192)).max(256)),
  payment: optional(payment),
  replaces: optional(z.string().max(128)),
});

const forgetContent = z.strictObject({
  ...base,
  hashes: z.array(itemHash).max(1000),
  aggregates: z.array(itemHash).max(1000).default([]),
  reason: optional(z.string().max(1000)),
});

const aggregateContent = z.strictObject({
  ...base,
  key: z.union([z.string(), z.object({ name: z.string() })]),
  content: freeObject,
});

const postContent = z.strictObject({
  ...base,
  type: z.string(),
  ref: optional(z.union([z.string(), freeObject])),
  content: z.unknown().optional(),
});

export type StoreContent = z.output<typeof storeContent>;
export type ProgramContent = z.output<typeof programContent>;
export type ForgetContent = z.output<typeof forgetContent>;
type AggregateContent = z.output<typeof aggregateContent>;
export type PostContent = z.output<typeof postContent>;
export type PaymentType = "hold" | "superfluid" | "credit";

/** A content of a known type, read. INSTANCE is another product's: it is refused. */
export type Content =
  | { readonly type: "STORE"; readonly content: StoreContent }
  | { readonly type: "PROGRAM"; readonly content: ProgramContent }
  | { readonly type: "FORGET"; readonly content: ForgetContent }
  | { readonly type: "AGGREGATE"; readonly content: AggregateContent }
  | { readonly type: "POST"; readonly content: PostContent };

const SCHEMAS = {
  STORE: storeContent,
  PROGRAM: programContent,
  FORGET: forgetContent,
  AGGREGATE: aggregateContent,
  POST: postContent,
} as const;

export type ContentResult =
  { readonly ok: true; readonly read: Content } | { readonly ok: false; readonly problems: readonly string[] };

/** Reads a content as a CCN does. Problems name the key at fault. */
export function readContent(type: string, value: unknown): ContentResult {
  if (!(type in SCHEMAS)) return { ok: false, problems: [`type: ${type} messages are not supported here`] };
  const known = type as Content["type"];
  const parsed = SCHEMAS[known].safeParse(value);
  if (!parsed.success) return { ok: false, problems: toProblems(parsed.error) };
  return { ok: true, read: { type: known, content: parsed.data } as Content };
}

export function toProblems(error: z.ZodError): string[] {
  return error.issues.map((issue) => {
    const at = issue.path.map(String).join(".");
    return at === "" ? issue.message : `${at}: ${issue.message}`;
  });
}
