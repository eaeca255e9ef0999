/**
 * Writes squashfs 4.0 images: a plan goes in, a file comes out, and the same plan always gives the same bytes.
 *
 * Of the format, these are left out because images here do not need them: fragments (file ends packed together),
 * extended attributes, the NFS export table, hard links, devices and sockets, sharing of equal blocks, owners other
 * than 0, times other than 0, and compressors other than gzip and zstd.
 *
 * Layout: superblock, data in the plan's order, inodes, listings, the one id, zeros up to a multiple of 4096.
 */
import type { BuiltImage } from "../../src/domain/volume.ts";
import { BlockCompressor } from "./block-compressor.ts";
import { loadCompressor, type Compression } from "./compress.ts";
import { BlockEncoder, expectPlainData } from "./data-blocks.ts";
import { createImageHasher, hashImage, sharedBuffer, throwIfAborted, type ImageHasher } from "./image-hash.ts";
import type { StoredData } from "./inodes.ts";
import { PartFile } from "./part-file.ts";
import { contentBytes, isData, type DataContent, type ImagePlan } from "./plan.ts";
import { SourceReader } from "./source-reader.ts";
import { IMAGE_ALIGNMENT_BYTES } from "./squashfs-format.ts";
import { SUPERBLOCK_BYTES } from "./superblock.ts";
import { buildTables, type ImageTables } from "./tables.ts";

export interface BuildOptions {
  readonly compression: Compression;
  readonly signal?: AbortSignal;
  /** Called after each chunk with the bytes of files that are done and the sum of all. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
}

/**
 * What one read decompresses. Twice as much makes Node.js 5% smaller with zstd, whose decoder is fast enough for it, and
 * nothing smaller with gzip, which looks back no further than 32 KiB.
 */
const BLOCK_BYTES: Readonly<Record<Compression, number>> = {
  none: 128 * 1024,
  gzip: 128 * 1024,
  zstd: 256 * 1024,
};

/**
 * Builds `<path>.part`, then renames it to `path`, replacing what was there. On any failure nothing is left behind.
 * Errors: `image_plan_invalid` when a file is missing or changes its size; `disk_full`, `data_directory`,
 *         `interrupted`.
 */
export async function buildSquashfs(plan: ImagePlan, path: string, options: BuildOptions): Promise<BuiltImage> {
  throwIfAborted(options.signal);
  await loadCompressor(options.compression);
  const file = await PartFile.create(path);
  const hasher = options.compression === "none" ? createImageHasher(plan.dataBytes) : undefined;
  try {
    const image = await writeImage(plan, file, hasher, options);
    throwIfAborted(options.signal);
    await file.commit();
    return { path, ...image };
  } catch (error) {
    await file.discard();
    throw error;
  } finally {
    await hasher?.dispose();
  }
}

/**
 * The superblock comes first in the file and names sizes known only at its end. Plain images are foretold: unless a
 * block of zeros turns up, which is not stored, the prophecy holds and the image is hashed while it is written.
 */
async function writeImage(plan: ImagePlan, file: PartFile, hasher: ImageHasher | undefined, options: BuildOptions) {
  const foretold = hasher && foretell(plan);
  const superblock = foretold?.superblock ?? Buffer.alloc(SUPERBLOCK_BYTES);
  await file.append([superblock]);
  await hasher?.update(superblock);

  const stored = await writeData(plan, file, hasher, options);
  const tables = buildTables(plan, stored, toTableOptions(options.compression, file.size));
  const padding = Buffer.alloc(-(file.size + tables.tail.byteLength) & (IMAGE_ALIGNMENT_BYTES - 1));
  const end = Buffer.concat([tables.tail, padding]);
  await file.append([end]);
  if (hasher !== undefined && foretold?.superblock.equals(tables.superblock) && foretold.tail.equals(tables.tail)) {
    await hasher.update(end);
    return { bytes: file.size, ...(await hasher.digest()) };
  }
  await file.overwrite(tables.superblock, 0);
  return await hashImage(file.partPath, options);
}

function foretell(plan: ImagePlan): ImageTables {
  let end = SUPERBLOCK_BYTES;
  const stored = plan.entries
    .filter(({ content }) => isData(content))
    .map(({ content }) => {
      const data = expectPlainData(end, contentBytes(content), BLOCK_BYTES.none);
      end += data.bytes;
      return data;
    });
  return buildTables(plan, stored, toTableOptions("none", end));
}

async function writeData(
  plan: ImagePlan,
  file: PartFile,
  hasher: ImageHasher | undefined,
  { compression, signal, onProgress }: BuildOptions,
): Promise<StoredData[]> {
  const compressor = new BlockCompressor(compression, plan.dataBytes);
  const zeros = Buffer.alloc(BLOCK_BYTES[compression]);
  // Two, so that the next chunk is read while one is hashed and written.
  const buffers: Pair = [sharedBuffer(), sharedBuffer()];
  const stored: StoredData[] = [];
  let doneBytes = 0;
  try {
    for (const { content } of plan.entries) {
      if (!isData(content)) continue;
      const encoder = new BlockEncoder(compressor, zeros, file.size);
      for await (const chunk of readAhead(content, buffers)) {
        throwIfAborted(signal);
        const pieces = await encoder.encode(chunk);
        await settleAll([file.append(pieces), hasher?.update(chunk) ?? Promise.resolve()]);
        doneBytes += chunk.byteLength;
        onProgress?.(doneBytes, plan.dataBytes);
      }
      stored.push(encoder.finish());
    }
  } finally {
    await compressor.dispose();
  }
  return stored;
}

type Pair = readonly [Uint8Array, Uint8Array];

/** The chunks of a file in turn; the one after is being read meanwhile, so each is valid until the next is asked for. */
async function* readAhead(content: DataContent, buffers: Pair) {
  const reader = await SourceReader.open(content);
  let next: Promise<Uint8Array> | undefined;
  try {
    let [filling, spare] = buffers;
    next = reader.read(filling);
    for (let chunk = await next; chunk.byteLength > 0; chunk = await next) {
      [filling, spare] = [spare, filling];
      next = reader.read(filling);
      next.catch(() => undefined); // reported when it is awaited
      yield chunk;
    }
  } finally {
    await next?.catch(() => undefined);
    await reader.close();
  }
}

/** Waits for all even when one fails, so that nobody still uses a buffer or the file afterwards. */
async function settleAll(steps: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(steps)) if (result.status === "rejected") throw result.reason;
}

function toTableOptions(compression: Compression, dataEnd: number) {
  return { compression, blockBytes: BLOCK_BYTES[compression], dataEnd };
}
