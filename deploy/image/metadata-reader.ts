import { decompress, type Compression } from "./compress.ts";
import { invalidImage } from "./invalid-image.ts";
import { METADATA_BYTES, METADATA_PLAIN } from "./squashfs-format.ts";

/** Tables above this belong to no image of this product: the inodes of a 4 TiB model take 128 MiB. */
export const TABLE_BYTES_MAX = 256 * 1024 * 1024;

/** A whole table in memory, addressed as squashfs does: a block's offset in the table, then an offset in its data. */
export class MetadataTable {
  readonly #data: Buffer;
  readonly #blockStarts: ReadonlyMap<number, number>;

  /** The compressor must be loaded. Errors: `image_invalid`. */
  constructor(stored: Buffer, compression: Compression) {
    const starts = new Map<number, number>();
    const blocks: Buffer[] = [];
    let total = 0;
    for (let at = 0; at < stored.byteLength;) {
      starts.set(at, total);
      if (at + 2 > stored.byteLength) invalidImage("a metadata block is cut off");
      const header = stored.readUInt16LE(at);
      const bytes = header & (METADATA_PLAIN - 1);
      at += 2;
      if (bytes === 0 || bytes > METADATA_BYTES || at + bytes > stored.byteLength) {
        invalidImage(`a metadata block has ${bytes} bytes`);
      }
      const block = stored.subarray(at, at + bytes);
      blocks.push((header & METADATA_PLAIN) === 0 ? decompress(compression, block, METADATA_BYTES) : block);
      at += bytes;
      total += blocks.at(-1)?.byteLength ?? 0;
      if (total > TABLE_BYTES_MAX) invalidImage(`a table has more than ${TABLE_BYTES_MAX} bytes`);
    }
    this.#data = Buffer.concat(blocks);
    this.#blockStarts = starts;
  }

  get byteLength(): number {
    return this.#data.byteLength;
  }

  /** Errors: `image_invalid` when any of the bytes lie outside of the table. */
  read(block: number, offset: number, bytes: number): Buffer {
    const start = this.#blockStarts.get(block);
    if (start === undefined || offset >= METADATA_BYTES) return invalidImage(`no metadata at ${block}:${offset}`);
    if (start + offset + bytes > this.#data.byteLength) invalidImage(`metadata at ${block}:${offset} is cut off`);
    return this.#data.subarray(start + offset, start + offset + bytes);
  }
}
