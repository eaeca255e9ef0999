/**
 * The compressor of images: zlib streams made in JavaScript, so that the same bytes come out on every machine. The
 * platform's own zlib differs between processors and Node.js versions, and an image's hash would differ with it.
 */
import { deflate } from "pako";

/** Smaller than `data`, or undefined: what does not shrink is stored as it is. */
export function compress(data: Uint8Array): Uint8Array | undefined {
  const compressed = deflate(data, { level: 9 });
  return compressed.byteLength < data.byteLength ? compressed : undefined;
}
