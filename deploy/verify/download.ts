import { createHash } from "node:crypto";

import { CidHasher } from "../cid/cid.ts";

export interface Downloaded {
  readonly bytes: number;
  readonly sha256: string;
  readonly cid: string;
}

/**
 * Reads a file of the network to its end and names it as the network would; nothing is kept. Undefined where the node
 * does not have it. Errors: those of `fetch`, and the signal's reason.
 */
export async function downloadAndHash(
  url: string,
  signal: AbortSignal,
  onProgress: (doneBytes: number, totalBytes: number) => void,
): Promise<Downloaded | undefined> {
  const response = await fetch(url, { signal });
  if (!response.ok || response.body === null) {
    await response.body?.cancel();
    return undefined;
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
