import { compress, type Compression } from "./compress.ts";
import { BLOCK_PLAIN } from "./squashfs-format.ts";
import type { StoredData } from "./inodes.ts";

/** Turns a file's bytes into its stored blocks, one chunk at a time. */
export class BlockEncoder {
  readonly #compression: Compression;
  readonly #zeros: Buffer;
  readonly #blocks: number[] = [];
  readonly #start: number;
  #bytes = 0;
  #sparseBytes = 0;

  /** `start` is where the file's first block will lie in the image. */
  constructor(compression: Compression, zeros: Buffer, start: number) {
    this.#compression = compression;
    this.#zeros = zeros;
    this.#start = start;
  }

  /** The pieces to append to the image. All chunks but a file's last hold whole blocks. */
  encode(chunk: Uint8Array): Uint8Array[] {
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < chunk.byteLength; at += this.#zeros.byteLength) {
      const block = chunk.subarray(at, at + this.#zeros.byteLength);
      const piece = this.#encodeBlock(block);
      if (piece !== undefined) pieces.push(piece);
    }
    this.#bytes += chunk.byteLength;
    return pieces;
  }

  finish(): StoredData {
    return { start: this.#start, bytes: this.#bytes, blocks: this.#blocks, sparseBytes: this.#sparseBytes };
  }

  #encodeBlock(block: Uint8Array): Uint8Array | undefined {
    if (this.#zeros.compare(block, 0, block.byteLength, 0, block.byteLength) === 0) {
      this.#blocks.push(0);
      this.#sparseBytes += block.byteLength;
      return undefined;
    }
    const compressed = compress(this.#compression, block);
    this.#blocks.push(compressed?.byteLength ?? block.byteLength | BLOCK_PLAIN);
    return compressed ?? block;
  }
}

/** Where a file's data will lie if nothing is compressed and no block is all zeros. */
export function expectPlainData(start: number, bytes: number, blockBytes: number): StoredData {
  const blocks = Array.from(
    { length: Math.ceil(bytes / blockBytes) },
    (_, index) => Math.min(blockBytes, bytes - index * blockBytes) | BLOCK_PLAIN,
  );
  return { start, bytes, blocks, sparseBytes: 0 };
}
