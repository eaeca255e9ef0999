import { compress, type Compression } from "./compress.ts";
import { METADATA_BYTES, METADATA_PLAIN } from "./squashfs-format.ts";

/** Where a record starts: its block's offset in the finished table, and its offset in that block's plain data. */
export interface MetadataPosition {
  readonly block: number;
  readonly offset: number;
}

/** Cuts a stream of records into blocks of 8 KiB, each with a 16-bit header. Records may cross blocks. */
export class MetadataWriter {
  readonly #compression: Compression;
  readonly #blocks: Buffer[] = [];
  readonly #pending = Buffer.alloc(METADATA_BYTES);
  #pendingBytes = 0;
  #finishedBytes = 0;

  constructor(compression: Compression) {
    this.#compression = compression;
  }

  get position(): MetadataPosition {
    return { block: this.#finishedBytes, offset: this.#pendingBytes };
  }

  append(record: Buffer): MetadataPosition {
    const start = this.position;
    for (let done = 0; done < record.byteLength;) {
      const copied = record.copy(this.#pending, this.#pendingBytes, done);
      done += copied;
      this.#pendingBytes += copied;
      if (this.#pendingBytes === METADATA_BYTES) this.#finishBlock();
    }
    return start;
  }

  finish(): Buffer {
    if (this.#pendingBytes > 0) this.#finishBlock();
    return Buffer.concat(this.#blocks);
  }

  #finishBlock(): void {
    const plain = this.#pending.subarray(0, this.#pendingBytes);
    const compressed = compress(this.#compression, plain);
    const header = Buffer.alloc(2);
    header.writeUInt16LE(compressed?.byteLength ?? plain.byteLength | METADATA_PLAIN);
    const block = Buffer.concat([header, compressed ?? plain]);
    this.#blocks.push(block);
    this.#finishedBytes += block.byteLength;
    this.#pendingBytes = 0;
  }
}
