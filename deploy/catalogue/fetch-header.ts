/** Reads only the header of a model file of a hub: enough to know what it is, what it takes, and how it is split. */
import { mkdir, open, rename, rm, truncate } from "node:fs/promises";
import { join } from "node:path";

import type { Sha256 } from "../../src/domain/hash.ts";
import { CodedError } from "../../src/domain/errors.ts";
import { readGgufHeader, type GgufHeader } from "../../src/gguf/gguf-header.ts";
import type { HubSource } from "./catalogue.ts";
import { hubFrom, lookUp, openFile, PassingFailure, reasonOf, type HubFile } from "./hub.ts";
import { createRetry, type RetryOptions } from "./retry.ts";

const MIB = 1_048_576;
/** The header is looked for in so many bytes, then in more. The largest vocabularies take some 20 MiB. */
const STEPS_BYTES = [MIB, 4 * MIB, 16 * MIB, 64 * MIB, 128 * MIB] as const;
const MAX_FAILURES = 4;

export interface HubModel {
  /** A file of the model's size that holds its header, and nothing where its weights would be. */
  readonly headerPath: string;
  readonly header: GgufHeader;
  readonly bytes: number;
  /** Undefined where the hub does not tell. */
  readonly sha256: Sha256 | undefined;
  readonly commit: string | undefined;
}

export interface HeaderOptions extends RetryOptions {
  /** Where the header is kept. */
  readonly directory: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/** Errors: `download_failed`, `model_file_invalid`, `config_invalid`, and the signal's reason. */
export async function fetchHeader(source: HubSource, options: HeaderOptions): Promise<HubModel> {
  const hub = hubFrom(options.environment);
  const { signal, directory } = options;
  const retry = createRetry(options, signal);
  const none = () => 0;
  try {
    const file = await retry(MAX_FAILURES, none, (stall) => lookUp(hub, source, stall.signal));
    await mkdir(directory, { recursive: true });
    const name = `${source.owner}--${source.repository}--${source.file.replaceAll("/", "--")}`;
    const headerPath = join(directory, name);
    const header = await retry(MAX_FAILURES, none, async (stall) => {
      const response = await openFile(hub, source, file.url, 0, stall.signal);
      return readBeginning(response, headerPath, file, () => stall.restart());
    });
    return { headerPath, header, bytes: file.bytes, sha256: file.sha256, commit: file.commit };
  } catch (error) {
    if (error instanceof PassingFailure) throw new CodedError("download_failed", `${error.message}.`, { cause: error });
    throw error;
  }
}

/** Takes from the answer until the header is whole, then leaves. */
async function readBeginning(
  response: Response,
  path: string,
  { bytes }: HubFile,
  onBytes: () => void,
): Promise<GgufHeader> {
  const part = `${path}.part`;
  const handle = await open(part, "w");
  try {
    let done = 0;
    let step = 0;
    for await (const chunk of chunksOf(response)) {
      onBytes();
      await handle.writeFile(chunk);
      done += chunk.length;
      const isEnd = done >= bytes;
      if (!isEnd && done < (STEPS_BYTES[step] ?? Infinity)) continue;
      while (done >= (STEPS_BYTES[step] ?? Infinity)) step += 1;
      const header = await tryHeader(part, bytes, done, isEnd || step === STEPS_BYTES.length);
      if (header === undefined) continue;
      await rename(part, path);
      return header;
    }
    throw new PassingFailure("the hub ended before the model's header did");
  } finally {
    await handle.close();
    await response.body?.cancel().catch(() => undefined);
    await rm(part, { force: true });
  }
}

async function* chunksOf(response: Response): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) yield chunk;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new PassingFailure(`the connection to the hub was lost${reasonOf(error)}`, undefined, { cause: error });
  }
}

/** Undefined while the header may go on behind what is there. */
async function tryHeader(path: string, bytes: number, done: number, isLast: boolean): Promise<GgufHeader | undefined> {
  // With its full size, the file is whole for the reader as long as it looks at nothing but the header.
  await truncate(path, bytes);
  try {
    const header = readGgufHeader(path);
    if (header.dataOffset <= done) return header;
    if (isLast) throw new CodedError("model_file_invalid", "its header is longer than any that is read here");
  } catch (error) {
    if (isLast) throw error;
  }
  await truncate(path, done);
  return undefined;
}
