import { readSync } from "node:fs";

import { CodedError } from "../domain/errors.ts";

/** A vocabulary of 262,144 tokens with its merges takes about 16 MiB, the tokenizer.json that some files add 33 MiB. */
const MAX_HEADER_BYTES = 128 * 1024 * 1024;

/** The only memory that grows with the file: one window, whatever sizes the file announces. */
const WINDOW_BYTES = 1024 * 1024;

/** An open file, with the name to use in sentences. */
export interface OpenFile {
  readonly fd: number;
  readonly name: string;
  readonly bytes: number;
}

/** Text from a file or a server, made safe for a terminal: no control characters, a bounded length. */
export function printable(text: string, maxLength = 80): string {
  // Cc and Cf hold the escape character and the marks that turn the writing direction.
  const clean = text.replace(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu, "?");
  return clean.length <= maxLength ? clean : `${clean.slice(0, maxLength)}…`;
}

export function invalidModel(file: Pick<OpenFile, "name">, sentence: string): CodedError {
  return new CodedError("model_file_invalid", `${file.name} ${sentence}`);
}

/** Reads little-endian values one after the other. Every read is checked against the file's end before it is done. */
export class HeaderCursor {
  readonly file: OpenFile;
  readonly #window: Buffer;
  #windowStart = 0;
  #windowBytes = 0;
  #position = 0;

  constructor(file: OpenFile) {
    this.file = file;
    this.#window = Buffer.alloc(Math.min(WINDOW_BYTES, file.bytes));
  }

  /** Bytes from the file's beginning. */
  get position(): number {
    return this.#position;
  }

  u8(): number {
    return this.#window.readUInt8(this.#take(1));
  }
  i8(): number {
    return this.#window.readInt8(this.#take(1));
  }
  u16(): number {
    return this.#window.readUInt16LE(this.#take(2));
  }
  i16(): number {
    return this.#window.readInt16LE(this.#take(2));
  }
  u32(): number {
    return this.#window.readUInt32LE(this.#take(4));
  }
  i32(): number {
    return this.#window.readInt32LE(this.#take(4));
  }
  f32(): number {
    return this.#window.readFloatLE(this.#take(4));
  }
  f64(): number {
    return this.#window.readDoubleLE(this.#take(8));
  }
  /** Exact up to 2^53. Above, only good to be compared with a limit, all of which are lower. */
  u64(): number {
    const at = this.#take(8);
    return this.#window.readUInt32LE(at) + this.#window.readUInt32LE(at + 4) * 2 ** 32;
  }
  i64(): number {
    const at = this.#take(8);
    return this.#window.readUInt32LE(at) + this.#window.readInt32LE(at + 4) * 2 ** 32;
  }

  /** At most WINDOW_BYTES: callers check the length against their own, lower limit first. */
  text(bytes: number): string {
    const at = this.#take(bytes);
    return this.#window.toString("utf8", at, at + bytes);
  }

  /** The same, without moving on. */
  peekText(bytes: number): string {
    const text = this.text(bytes);
    this.#position -= bytes;
    return text;
  }

  skip(bytes: number): void {
    this.#checkWithin(bytes);
    this.#position += bytes;
  }

  /** Moves past `bytes` and returns where they lie in the window. */
  #take(bytes: number): number {
    let at = this.#position - this.#windowStart;
    if (at + bytes > this.#windowBytes) {
      this.#checkWithin(bytes);
      this.#fill();
      at = 0;
      if (bytes > this.#windowBytes) throw invalidModel(this.file, "became shorter while it was read.");
    }
    this.#position += bytes;
    return at;
  }

  #fill(): void {
    this.#windowStart = this.#position;
    this.#windowBytes = 0;
    while (this.#windowBytes < this.#window.length) {
      const room = this.#window.length - this.#windowBytes;
      const got = readSync(this.file.fd, this.#window, this.#windowBytes, room, this.#position + this.#windowBytes);
      if (got === 0) return;
      this.#windowBytes += got;
    }
  }

  #checkWithin(bytes: number): void {
    const end = this.#position + bytes;
    if (end > this.file.bytes) {
      throw invalidModel(
        this.file,
        `is cut short: its header goes on after the file's end, at ${this.file.bytes.toLocaleString("en-US")} bytes. ` +
          "Download it again.",
      );
    }
    if (end > MAX_HEADER_BYTES) {
      throw invalidModel(this.file, `has a header of more than ${MAX_HEADER_BYTES / 1024 / 1024} MiB: it is damaged.`);
    }
  }
}
