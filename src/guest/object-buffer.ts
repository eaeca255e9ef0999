/**
 * Finds the end of a msgpack object that arrives in pieces, without decoding it: a request has neither a length nor an
 * end of its own. Each byte is looked at once, however small the pieces, and what announces more than the limit is
 * refused before it arrives.
 * Source: msgpack, spec.md.
 */

/** The bytes are no msgpack object, or one beyond the limit. */
export class BadObject extends Error {
  override readonly name = "BadObject";
  readonly isTooLarge: boolean;

  constructor(message: string, isTooLarge: boolean) {
    super(message);
    this.isTooLarge = isTooLarge;
  }
}

const FIRST_CAPACITY = 4096;
const LONGEST_HEAD = 9;

/** Of an object: bytes of its head, bytes that follow, objects that follow. Undefined while the head is not whole. */
type Head = readonly [headBytes: number, payloadBytes: number, members: number];

export class ObjectBuffer {
  readonly #limit: number;
  #bytes = Buffer.allocUnsafe(FIRST_CAPACITY);
  #length = 0;
  /** Up to here the structure is known; may lie beyond what has arrived. */
  #known = 0;
  /** Objects that must still begin. */
  #open = 1;

  constructor(limitBytes: number) {
    this.#limit = limitBytes;
  }

  /** Takes the next piece; true once the object is whole. Errors: `BadObject`. */
  push(piece: Uint8Array): boolean {
    if (this.#length + piece.byteLength > this.#limit) throw this.#tooLarge();
    this.#append(piece);
    while (this.#open > 0 && this.#known < this.#length) {
      const head = headAt(this.#bytes, this.#known, this.#length);
      if (head === undefined) return false;
      const [headBytes, payloadBytes, members] = head;
      this.#known += headBytes + payloadBytes;
      this.#open += members - 1;
      // Each member takes a byte at least.
      if (this.#known + this.#open > this.#limit) throw this.#tooLarge();
    }
    return this.#open === 0 && this.#known <= this.#length;
  }

  /** All that has arrived. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  #append(piece: Uint8Array): void {
    const needed = this.#length + piece.byteLength;
    if (needed > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.min(this.#limit, Math.max(needed, 2 * this.#bytes.length)));
      this.#bytes.copy(larger, 0, 0, this.#length);
      this.#bytes = larger;
    }
    this.#bytes.set(piece, this.#length);
    this.#length = needed;
  }

  #tooLarge(): BadObject {
    return new BadObject(`more than ${this.#limit} bytes`, true);
  }
}

function headAt(bytes: Buffer, at: number, end: number): Head | undefined {
  const type = bytes[at] ?? 0;
  if (type < 0x80 || type >= 0xe0) return [1, 0, 0];
  if (type < 0x90) return [1, 0, 2 * (type & 0x0f)];
  if (type < 0xa0) return [1, 0, type & 0x0f];
  if (type < 0xc0) return [1, type & 0x1f, 0];
  if (at + LONGEST_HEAD > end && at + headBytesOf(type) > end) return undefined;
  const size = (width: number): number => bytes.readUIntBE(at + 1, width);
  switch (type) {
    case 0xc0: // nil, false, true
    case 0xc2:
    case 0xc3:
      return [1, 0, 0];
    case 0xc4: // bin and str, by the width of their lengths
    case 0xd9:
      return [2, size(1), 0];
    case 0xc5:
    case 0xda:
      return [3, size(2), 0];
    case 0xc6:
    case 0xdb:
      return [5, size(4), 0];
    case 0xc7: // ext: its length does not count its type
      return [3, size(1), 0];
    case 0xc8:
      return [4, size(2), 0];
    case 0xc9:
      return [6, size(4), 0];
    case 0xdc: // array, map
      return [3, 0, size(2)];
    case 0xdd:
      return [5, 0, size(4)];
    case 0xde:
      return [3, 0, 2 * size(2)];
    case 0xdf:
      return [5, 0, 2 * size(4)];
    case 0xc1:
      throw new BadObject("the byte c1, which msgpack never uses", false);
    default: // numbers and fixext, whose payload is as long as their type says
      return [1, FIXED_PAYLOAD[type] ?? 0, 0];
  }
}

/** By type: bytes after a head of one byte. */
const FIXED_PAYLOAD: Readonly<Record<number, number>> = Object.fromEntries([
  ...[4, 8, 1, 2, 4, 8, 1, 2, 4, 8].map((bytes, at) => [0xca + at, bytes] as const),
  ...[2, 3, 5, 9, 17].map((bytes, at) => [0xd4 + at, bytes] as const),
]);

/** By type: bytes of a head that holds a length. */
const SIZED_HEAD: Readonly<Record<number, number>> = Object.fromEntries([
  ...[2, 3, 5, 3, 4, 6].map((bytes, at) => [0xc4 + at, bytes] as const),
  ...[2, 3, 5, 3, 5, 3, 5].map((bytes, at) => [0xd9 + at, bytes] as const),
]);

function headBytesOf(type: number): number {
  return SIZED_HEAD[type] ?? 1;
}
