/**
 * The lockfile, pins.json: which bytes stand behind each published model, and under which messages the network keeps
 * them. It is committed; `pinference deploy` and `forget` write it, and everybody can check it with `verify`.
 */
import { readFile } from "node:fs/promises";
import * as z from "zod";

import { CodedError } from "../src/domain/errors.ts";
import { parseFileHash, parseItemHash, parseSha256 } from "../src/domain/hash.ts";
import { writeFileAtomically } from "./files/write-file-atomically.ts";

const GENERATED_BY = "pinference deploy";
const VERSION = 1;

const sha256 = z.string().transform((text) => parseSha256(text));
const itemHash = z.string().transform((text) => parseItemHash(text));
const fileHash = z.string().transform((text) => parseFileHash(text));

const image = z.strictObject({
  /** Equal keys promise equal bytes: whether an image must be built again is known without building it. */
  key: z.string(),
  sha256,
  bytes: z.int().nonnegative(),
  fileHash,
  /** Of its STORE message. */
  itemHash,
});

const entry = z.strictObject({
  /** Of the PROGRAM message: what the URL names. */
  itemHash,
  url: z.string(),
  /** Who owns and pays. */
  owner: z.string(),
  /** Who signed. */
  sender: z.string(),
  publishedAt: z.iso.datetime(),
  gguf: z.strictObject({ sha256, bytes: z.int().positive(), source: z.string().optional() }),
  runtime: image,
  code: image,
  volumes: z.array(image).min(1),
  /** Earlier programs of this model that are still there, and still cost. */
  previous: z.array(itemHash),
});

const pinsFile = z.strictObject({
  generatedBy: z.literal(GENERATED_BY),
  version: z.literal(VERSION),
  models: z.record(z.string(), entry),
});

export type LockedImage = z.output<typeof image>;
export type LockedModel = z.output<typeof entry>;

export interface Lockfile {
  readonly path: string;
  /** By catalogue id, in the order of ids. */
  readonly models: ReadonlyMap<string, LockedModel>;
  /** Undefined takes the model out. Written at once, whole or not at all; not at all where nothing changes. */
  set(id: string, model: LockedModel | undefined): Promise<void>;
}

/** A file that is not there is an empty one. Errors: `config_invalid`, naming the member at fault. */
export async function openLockfile(path: string): Promise<Lockfile> {
  const models = new Map(Object.entries(await read(path)));
  const toText = () => {
    const sorted = [...models].toSorted(([a], [b]) => (a < b ? -1 : 1));
    const content = { generatedBy: GENERATED_BY, version: VERSION, models: Object.fromEntries(sorted) };
    return `${JSON.stringify(content, undefined, 2)}\n`;
  };
  return {
    path,
    models,
    async set(id, model) {
      const before = toText();
      if (model === undefined) models.delete(id);
      else models.set(id, model);
      if (toText() !== before) await writeFileAtomically(path, toText());
    },
  };
}

async function read(path: string): Promise<Record<string, LockedModel>> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw invalid(path, (error as Error).message, error);
  }
  try {
    const parsed = pinsFile.safeParse(JSON.parse(text));
    if (parsed.success) return parsed.data.models;
    throw invalid(path, z.prettifyError(parsed.error));
  } catch (error) {
    if (error instanceof CodedError && error.code === "config_invalid") throw error;
    throw invalid(path, (error as Error).message, error);
  }
}

function invalid(path: string, why: string, cause?: unknown): CodedError {
  const advice = "restore it from version control; deploy finds on the network what is missing in it";
  return new CodedError("config_invalid", `the lockfile ${path} cannot be read (${why}): ${advice}`, { cause });
}
