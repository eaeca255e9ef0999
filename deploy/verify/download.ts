import { createHash } from "node:crypto";

import { CodedError } from "../../src/domain/errors.ts";
import { CidHasher } from "../cid/cid.ts";

export interface Downloaded {
  readonly bytes: number;
  readonly sha256: string;
  readonly cid: string;
}

interface DownloadOptions {
  readonly signal: AbortSignal;
  /** A node that gives no byte for so long is gone. */
  readonly idleMs: number;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
}

/**
 * Reads a file of the network to its end and names it as the network would; nothing is kept. Undefined where the node
 * does not have it. Errors: `download_failed`, and the signal's reason.
 */
export async function downloadAndHash(url: string, options: DownloadOptions): Promise<Downloaded | undefined> {
  const { signal, idleMs } = options;
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(), idleMs);
  try {
    return await read(url, AbortSignal.any([signal, silence.signal]), (done, total) => {
      timer.refresh();
      options.onProgress(done, total);
    });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof CodedError) throw error;
    const why = silence.signal.aborted ? `no byte came for ${idleMs / 1000} s` : "the connection broke off";
    throw failed(url, why, error);
  } finally {
    clearTimeout(timer);
  }
}

async function read(
  url: string,
  signal: AbortSignal,
  onProgress: DownloadOptions["onProgress"],
): Promise<Downloaded | undefined> {
  const response = await fetch(url, { signal });
  if (!response.ok || response.body === null) {
    await response.body?.cancel();
    if (response.status === 404 || response.status === 410) return undefined;
    throw failed(url, `the node answered HTTP ${response.status}`);
  }
  const totalBytes = Number(response.headers.get("content-length") ?? 0);
  const [sha256, cid] = [createHash("sha256"), new CidHasher()];
  let bytes = 0;
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
    sha256.update(chunk);
    cid.update(chunk);
    bytes += chunk.length;
    onProgress(bytes, totalBytes);
  }
  return { bytes, sha256: sha256.digest("hex"), cid: cid.digest() };
}

function failed(url: string, why: string, cause?: unknown): CodedError {
  const message = `the file ${url} could not be downloaded: ${why}. Run verify again, or use another --api-server`;
  return new CodedError("download_failed", message, { cause });
}
