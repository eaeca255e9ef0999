import type { FileHash, ItemHash, Sha256 } from "./hash.ts";

/** Where the code volume is mounted in the guest. */
export const CODE_MOUNT = "/opt/code";
/** The server's entry point inside the code volume, and so the PROGRAM's `code.entrypoint`. */
export const CODE_ENTRYPOINT = "src/main.js";
/** Where the n-th model volume is mounted in the guest. */
export function modelMount(index: number): string {
  return `/models/${index}`;
}

/** An image file on this machine, as `deploy/image` leaves it: complete, hashed while written. */
export interface BuiltImage {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: Sha256;
  /** What an IPFS node would call it: CIDv0, 262,144-byte chunks, no raw leaves. */
  readonly cid: FileHash;
}

/** Stored bytes and the STORE message that keeps them. */
export interface PinnedImage {
  readonly sha256: Sha256;
  readonly bytes: number;
  readonly fileHash: FileHash;
  /** Of the STORE message; this is what volumes refer to. */
  readonly itemHash: ItemHash;
}
