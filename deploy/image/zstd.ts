/**
 * zstd as WebAssembly: the same bytes on every machine, which the platform's own libraries do not promise. Loaded when
 * an image needs it; everything else is synchronous.
 */
import { compress, decompress, init } from "@bokuweb/zstd-wasm";

import { invalidImage } from "./invalid-image.ts";

/** What mksquashfs uses. Level 19 is half as fast and makes Node.js 1% smaller. */
const LEVEL = 15;

const MAGIC = 0xfd2fb528;
const DICTIONARY_BYTES = [0, 1, 2, 4] as const;

let loading: Promise<void> | undefined;

/** To be awaited before the first call of the functions below. */
export function loadZstd(): Promise<void> {
  return (loading ??= init());
}

export function zstdCompress(data: Uint8Array): Uint8Array {
  return compress(data, LEVEL);
}

/** Errors: `image_invalid` when the frame is damaged or says that it holds more than `bytesMax`. */
export function zstdDecompress(data: Uint8Array, bytesMax: number): Buffer {
  const bytes = contentBytes(data);
  if (bytes === undefined || bytes > bytesMax) invalidImage("a block does not say its size, or is too big");
  let content: Uint8Array;
  try {
    content = decompress(data);
  } catch {
    return invalidImage("a block does not decompress");
  }
  return Buffer.from(content.buffer, content.byteOffset, content.byteLength);
}

/** From the frame's header: the library allocates what that says. Source: RFC 8878, 3.1.1.1. */
function contentBytes(frame: Uint8Array): number | undefined {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.byteLength < 6) return undefined;
  if (view.getUint32(0, true) !== MAGIC) return undefined;
  const descriptor = view.getUint8(4);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const at = 5 + (isSingleSegment ? 0 : 1) + (DICTIONARY_BYTES[(descriptor & 3) as 0 | 1 | 2 | 3] ?? 0);
  const width = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  if (width === 0 || at + width > frame.byteLength) return undefined;
  if (width === 1) return view.getUint8(at);
  if (width === 2) return view.getUint16(at, true) + 256;
  if (width === 4) return view.getUint32(at, true);
  return Number(view.getBigUint64(at, true));
}
