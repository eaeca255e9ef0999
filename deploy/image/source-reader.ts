import { open, type FileHandle } from "node:fs/promises";

import { CodedError } from "../../src/domain/errors.ts";
import type { PlanContent } from "./plan.ts";

/** Reads a file's planned content from its start to its end. Errors: `image_plan_invalid`. */
export class SourceReader {
  readonly #content: PlanContent & { kind: "file" | "bytes" };
  readonly #handle: FileHandle | undefined;
  readonly #bytes: number;
  #done = 0;

  private constructor(content: PlanContent & { kind: "file" | "bytes" }, bytes: number, handle?: FileHandle) {
    this.#content = content;
    this.#bytes = bytes;
    this.#handle = handle;
  }

  static async open(content: PlanContent & { kind: "file" | "bytes" }): Promise<SourceReader> {
    if (content.kind === "bytes") return new SourceReader(content, content.content.byteLength);
    const handle = await open(content.sourcePath, "r").catch((error: unknown) => {
      const code = (error as NodeJS.ErrnoException).code ?? "unknown error";
      throw new CodedError("image_plan_invalid", `cannot read "${content.sourcePath}" (${code})`, { cause: error });
    });
    const reader = new SourceReader(content, content.bytes, handle);
    await reader.#checkSize().catch(async (error: unknown) => {
      await handle.close();
      throw error;
    });
    return reader;
  }

  /** Fills the buffer, or gives less at the end; empty when all is read. Checks the size again at the end. */
  async read(buffer: Uint8Array): Promise<Uint8Array> {
    const wanted = Math.min(buffer.byteLength, this.#bytes - this.#done);
    if (this.#content.kind === "bytes") {
      buffer.set(this.#content.content.subarray(this.#done, this.#done + wanted));
      this.#done += wanted;
      return buffer.subarray(0, wanted);
    }
    for (let filled = 0; filled < wanted;) {
      const { bytesRead } = (await this.#handle?.read(buffer, filled, wanted - filled, this.#done)) ?? { bytesRead: 0 };
      if (bytesRead === 0) await this.#checkSize("shrank");
      filled += bytesRead;
      this.#done += bytesRead;
    }
    if (this.#done === this.#bytes) await this.#checkSize();
    return buffer.subarray(0, wanted);
  }

  async close(): Promise<void> {
    await this.#handle?.close();
  }

  async #checkSize(always?: "shrank"): Promise<void> {
    if (this.#content.kind !== "file" || this.#handle === undefined) return;
    const { size } = await this.#handle.stat();
    if (size === this.#bytes && always === undefined) return;
    throw new CodedError(
      "image_plan_invalid",
      `"${this.#content.sourcePath}" had ${this.#bytes} bytes when the image was planned and has ${size} now: ` +
        "let nothing write to it and run again",
    );
  }
}
