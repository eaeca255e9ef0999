import { open, type FileHandle } from "node:fs/promises";

import { CodedError } from "../../src/domain/errors.ts";
import { contentBytes, type DataContent } from "./plan.ts";

/** The file that a content is read from. */
interface Source {
  readonly path: string;
  /** What it must have when it is read. */
  readonly bytes: number;
  /** Where the content begins in it. */
  readonly from: number;
  readonly handle: FileHandle;
}

/** Reads a file's planned content from its start to its end. Errors: `image_plan_invalid`. */
export class SourceReader {
  /** Comes first; empty for a plain file. */
  readonly #head: Uint8Array;
  readonly #source: Source | undefined;
  readonly #bytes: number;
  #done = 0;

  private constructor(head: Uint8Array, bytes: number, source: Source | undefined) {
    this.#head = head;
    this.#bytes = bytes;
    this.#source = source;
  }

  static async open(content: DataContent): Promise<SourceReader> {
    const bytes = contentBytes(content);
    if (content.kind === "bytes") return new SourceReader(content.content, bytes, undefined);
    const { sourcePath: path } = content;
    const handle = await open(path, "r").catch((error: unknown) => {
      const code = (error as NodeJS.ErrnoException).code ?? "unknown error";
      throw new CodedError("image_plan_invalid", `cannot read "${path}" (${code})`, { cause: error });
    });
    const reader =
      content.kind === "file"
        ? new SourceReader(new Uint8Array(0), bytes, { path, bytes, from: 0, handle })
        : new SourceReader(content.head, bytes, { path, bytes: content.sourceBytes, from: content.from, handle });
    await reader.#checkSize().catch(async (error: unknown) => {
      await handle.close();
      throw error;
    });
    return reader;
  }

  /** Fills the buffer, or gives less at the end; empty when all is read. Checks the size again at the end. */
  async read(buffer: Uint8Array): Promise<Uint8Array> {
    const wanted = Math.min(buffer.byteLength, this.#bytes - this.#done);
    let filled = 0;
    if (this.#done < this.#head.byteLength) {
      const head = this.#head.subarray(this.#done, this.#done + wanted);
      buffer.set(head);
      filled = head.byteLength;
      this.#done += filled;
    }
    while (filled < wanted) filled += await this.#readSource(buffer, filled, wanted - filled);
    if (this.#done === this.#bytes) await this.#checkSize();
    return buffer.subarray(0, wanted);
  }

  async close(): Promise<void> {
    await this.#source?.handle.close();
  }

  async #readSource(buffer: Uint8Array, at: number, wanted: number): Promise<number> {
    const source = this.#source;
    if (source === undefined) throw new Error("bytes have no source");
    const position = source.from + this.#done - this.#head.byteLength;
    const { bytesRead } = await source.handle.read(buffer, at, wanted, position);
    if (bytesRead === 0) await this.#checkSize("shrank");
    this.#done += bytesRead;
    return bytesRead;
  }

  async #checkSize(always?: "shrank"): Promise<void> {
    if (this.#source === undefined) return;
    const { path, bytes, handle } = this.#source;
    const { size } = await handle.stat();
    if (size === bytes && always === undefined) return;
    throw new CodedError(
      "image_plan_invalid",
      `"${path}" had ${bytes} bytes when the image was planned and has ${size} now: ` +
        "let nothing write to it and run again",
    );
  }
}
