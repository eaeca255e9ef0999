import { CodedError } from "./errors.ts";

declare const brand: unique symbol;
type Branded<Base, Name extends string> = Base & { readonly [brand]: Name };

/** Names a signed message. Volumes and runtimes are referred to by this. */
export type ItemHash = Branded<string, "ItemHash">;
/** Names stored bytes: what a STORE message points at. Never a valid ref. */
export type FileHash = Branded<string, "FileHash">;
/** 64 lowercase hexadecimal digits. */
export type Sha256 = Branded<string, "Sha256">;

// 64 hex digits, CIDv0, or the CIDv1 form the network takes. Source: aleph-message, models/item_hash.py.
const HASH = /^(?:[0-9a-f]{64}|Qm[1-9A-HJ-NP-Za-km-z]{42,44}|bafy[a-z2-7]{55})$/;
const SHA256 = /^[0-9a-f]{64}$/;

/** Errors: `hash_malformed`. */
export function parseItemHash(text: string): ItemHash {
  if (!HASH.test(text)) throw new CodedError("hash_malformed", `not an item hash: "${text.slice(0, 100)}"`);
  return text as ItemHash;
}

/** Errors: `hash_malformed`. */
export function parseFileHash(text: string): FileHash {
  if (!HASH.test(text)) throw new CodedError("hash_malformed", `not a file hash: "${text.slice(0, 100)}"`);
  return text as FileHash;
}

/** Errors: `hash_malformed`. */
export function parseSha256(text: string): Sha256 {
  if (!SHA256.test(text)) throw new CodedError("hash_malformed", `not a sha256: "${text.slice(0, 100)}"`);
  return text as Sha256;
}

/** Which storage engine a file hash belongs to: sha256 is the network's own storage, a CID is IPFS. */
export function storageEngineOf(hash: FileHash | ItemHash): "storage" | "ipfs" {
  return SHA256.test(hash) ? "storage" : "ipfs";
}
