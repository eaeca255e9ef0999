import { closeSync, openSync, readSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";

import { CodedError } from "../../src/domain/errors.ts";
import { PINNED_HEADER_FILE, PINNED_STATE_FILE } from "../../src/domain/pinned-prefix.ts";
import { readGgufLayout } from "../../src/gguf/gguf-header.ts";
import { planShards } from "../../src/gguf/split.ts";
import { FILE_MODE, planImage, type ImagePlan, type PlanContent, type PlanEntry } from "./plan.ts";

const MODEL_CARD_FILE = "model-card.json";

export interface ModelVolumeOptions {
  readonly ggufPath: string;
  /** The model file's name in the volume. */
  readonly fileName: string;
  /** JSON data; written with sorted keys, so that equal cards are equal bytes. */
  readonly card: object;
  /** Where the two files of an evaluated system prompt are, to ship beside the model. */
  readonly prefixDirectory?: string | undefined;
}

/** To be built without compression: weights do not shrink, and plain blocks can be mapped into memory. */
export async function planModelVolume({
  ggufPath,
  fileName,
  card,
  prefixDirectory,
}: ModelVolumeOptions): Promise<ImagePlan> {
  const found = await stat(ggufPath).catch((error: unknown) => {
    throw new CodedError("model_file_missing", `there is no model file at "${ggufPath}"`, { cause: error });
  });
  if (!found.isFile()) throw new CodedError("model_file_missing", `"${ggufPath}" is not a file`);
  return planImage([
    { path: fileName, mode: FILE_MODE, content: { kind: "file", sourcePath: ggufPath, bytes: found.size } },
    cardEntry(card),
    ...(await prefixEntries(prefixDirectory)),
  ]);
}

async function prefixEntries(directory: string | undefined): Promise<PlanEntry[]> {
  if (directory === undefined) return [];
  return Promise.all(
    [PINNED_HEADER_FILE, PINNED_STATE_FILE].map(async (path): Promise<PlanEntry> => {
      const sourcePath = join(directory, path);
      return { path, mode: FILE_MODE, content: { kind: "file", sourcePath, bytes: (await stat(sourcePath)).size } };
    }),
  );
}

/** One volume of a model that is too large for one. */
export interface ShardVolume {
  /** The shard's name in the volume. */
  readonly fileName: string;
  readonly plan: ImagePlan;
}

/**
 * Volumes for a model whose file has more than `maxBytes`: one shard each, read from the model file itself; the card is
 * in the first. Errors: as readGgufHeader and planShards.
 */
export function planShardVolumes(
  options: Omit<ModelVolumeOptions, "prefixDirectory"> & { readonly maxBytes: number },
): ShardVolume[] {
  const { ggufPath, fileName, card, maxBytes } = options;
  const layout = readGgufLayout(ggufPath);
  const shards = withRanges(ggufPath, (readRange) => planShards(layout, fileName, maxBytes, readRange));
  return shards.map(({ fileName: shardFile, header, from, length }, index): ShardVolume => {
    const content: PlanContent = {
      kind: "range",
      head: header,
      sourcePath: ggufPath,
      sourceBytes: layout.header.fileBytes,
      from,
      length,
    };
    const entries: PlanEntry[] = [{ path: shardFile, mode: FILE_MODE, content }];
    return { fileName: shardFile, plan: planImage(index === 0 ? [...entries, cardEntry(card)] : entries) };
  });
}

function withRanges<Result>(path: string, use: (readRange: (from: number, to: number) => Buffer) => Result): Result {
  const fd = openSync(path, "r");
  try {
    return use((from, to) => {
      const bytes = Buffer.alloc(to - from);
      if (readSync(fd, bytes, 0, bytes.byteLength, from) === bytes.byteLength) return bytes;
      throw new CodedError("model_file_invalid", `${path} became shorter while it was read`);
    });
  } finally {
    closeSync(fd);
  }
}

function cardEntry(card: object): PlanEntry {
  const content = Buffer.from(`${JSON.stringify(card, sortKeys, 2)}\n`);
  return { path: MODEL_CARD_FILE, mode: FILE_MODE, content: { kind: "bytes", content } };
}

/** By UTF-16 code units, the one order that needs no locale. */
function sortKeys(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}
