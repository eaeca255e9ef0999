import { createWriteStream, mkdirSync, renameSync, statSync, type WriteStream } from "node:fs";
import { dirname } from "node:path";

// Enough for a crash report of Node and of the native library together.
const TAIL_CHARACTERS = 16_384;
const DEFAULT_MAX_BYTES = 4 * 1024 * 1024;

/** What a program prints: the end of it in memory, all of it in a file that is turned over once when it is full. */
export class ProgramLog {
  readonly #path: string;
  readonly #maxBytes: number;
  #file: WriteStream;
  #bytes: number;
  #tail = "";

  constructor(path: string, maxBytes: number = DEFAULT_MAX_BYTES) {
    mkdirSync(dirname(path), { recursive: true });
    this.#path = path;
    this.#maxBytes = maxBytes;
    this.#bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    this.#file = openLog(path);
  }

  write(chunk: Buffer): void {
    this.#tail = (this.#tail + chunk.toString("utf8")).slice(-TAIL_CHARACTERS);
    if (this.#bytes + chunk.length > this.#maxBytes) this.#turnOver();
    this.#bytes += chunk.length;
    this.#file.write(chunk);
  }

  lastLines(count: number): string {
    return this.#tail.trimEnd().split("\n").slice(-count).join("\n");
  }

  close(): void {
    this.#file.end();
  }

  #turnOver(): void {
    this.#file.end();
    try {
      renameSync(this.#path, `${this.#path}.1`);
    } catch {
      // Somebody has removed it: the new one begins empty as well.
    }
    this.#file = openLog(this.#path);
    this.#bytes = 0;
  }
}

/** A full disk must not end the node: the tail in memory goes on. */
function openLog(path: string): WriteStream {
  return createWriteStream(path, { flags: "a", mode: 0o600 }).on("error", () => {});
}
