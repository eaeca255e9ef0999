/**
 * The compressors of images, in JavaScript and WebAssembly, so that the same bytes come out on every machine. The
 * platform's own zlib differs between processors and Node.js versions, and an image's hash would differ with it.
 */
import { inflateSync } from "node:zlib";

import { deflate } from "pako";

import { CodedError } from "../../src/domain/errors.ts";
import { loadZstd, zstdCompress, zstdDecompress } from "./zstd.ts";

/** "none" is for model files, which do not shrink and are read through mmap. */
export type Compression = "none" | "gzip" | "zstd";

/** Level 9 is half as fast and makes native libraries 0.16% smaller. */
const GZIP_LEVEL = 7;

/** To be awaited before `compress` and `decompress`. */
export async function loadCompressor(compression: Compression): Promise<void> {
  if (compression === "zstd") await loadZstd();
}

/** Smaller than `data`, or undefined: what does not shrink is stored as it is. */
export function compress(compression: Compression, data: Uint8Array): Uint8Array | undefined {
  if (compression === "none") return undefined;
  const compressed = compression === "gzip" ? deflate(data, { level: GZIP_LEVEL }) : zstdCompress(data);
  return compressed.byteLength < data.byteLength ? compressed : undefined;
}

/** Errors: `image_invalid` when the stream is damaged or grows beyond `bytesMax`. */
export function decompress(compression: Compression, data: Uint8Array, bytesMax: number): Buffer {
  if (compression === "zstd") return zstdDecompress(data, bytesMax);
  try {
    return inflateSync(data, { maxOutputLength: bytesMax });
  } catch (error) {
    throw new CodedError("image_invalid", "the image is damaged: a block does not decompress", { cause: error });
  }
}
