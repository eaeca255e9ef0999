import type { BlockCompressor } from "./block-compressor.ts";
import { BLOCK_PLAIN } from "./squashfs-format.ts";
import type { StoredData } from "./inodes.ts";

/** Turns a file's bytes into its stored blocks, one chunk at a time. */
export class BlockEncoder {
  readonly #compressor: BlockCompressor;
  readonly #zeros: Buffer;
  readonly #blocks: number[] = [];
  readonly #start: number;
  #bytes = 0;
  #sparseBytes = 0;

  /** `start` is where the file's first block will lie in the image. */
  constructor(compressor: BlockCompressor, zeros: Buffer, start: number) {
    this.#compressor = compressor;
    this.#zeros = zeros;
    this.#start = start;
  }

  /** The pieces to append to the image. All chunks but a file's last hold whole blocks. */
  async encode(chunk: Uint8Array): Promise<Uint8Array[]> {
    const blocks: Uint8Array[] = [];
    for (let at = 0; at < chunk.byteLength; at += this.#zeros.byteLength) {
      blocks.push(chunk.subarray(at, at + this.#zeros.byteLength));
    }
    const stored = blocks.filter((block) => !this.#isZeros(block));
    const compressed = new Map<Uint8Array, Uint8Array | undefined>();
    for (const [at, result] of (await this.#compressor.compressAll(stored)).entries()) {
      compressed.set(stored[at] as Uint8Array, result);
    }
    for (const block of blocks) {
      if (!compressed.has(block)) this.#sparseBytes += block.byteLength;
      this.#blocks.push(compressed.has(block) ? sizeWord(block, compressed.get(block)) : 0);
    }
    this.#bytes += chunk.byteLength;
    return stored.map((block) => compressed.get(block) ?? block);
  }

  finish(): StoredData {
    return { start: this.#start, bytes: this.#bytes, blocks: this.#blocks, sparseBytes: this.#sparseBytes };
  }

  #isZeros(block: Uint8Array): boolean {
    return this.#zeros.compare(block, 0, block.byteLength, 0, block.byteLength) === 0;
  }
}

function sizeWord(block: Uint8Array, compressed: Uint8Array | undefined): number {
  return compressed?.byteLength ?? block.byteLength | BLOCK_PLAIN;
}

/** Where a file's data will lie if nothing is compressed and no block is all zeros. */
export function expectPlainData(start: number, bytes: number, blockBytes: number): StoredData {
  const blocks = Array.from(
    { length: Math.ceil(bytes / blockBytes) },
    (_, index) => Math.min(blockBytes, bytes - index * blockBytes) | BLOCK_PLAIN,
  );
  return { start, bytes, blocks, sparseBytes: 0 };
}
