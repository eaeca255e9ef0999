/** Nobody else checks what a program is made of: its host takes downloads as they are. */
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";

import { CodedError } from "../domain/errors.ts";
import { parseSha256, type Sha256 } from "../domain/hash.ts";
import { CODE_MOUNT } from "../domain/volume.ts";
import type { GuestLog } from "./log.ts";
import type { GuestVolume } from "./mounts.ts";

const PIECE_BYTES = 1024 * 1024;
const MODEL_MOUNT = /^\/models\/(\d{1,3})$/;

type Variables = Readonly<Record<string, string>>;

/** Those that hold a model or a shard of it, in the order of their numbers. */
export function modelVolumes(volumes: readonly GuestVolume[]): GuestVolume[] {
  const numberOf = ({ mount }: GuestVolume): number => Number(MODEL_MOUNT.exec(mount)?.[1] ?? -1);
  return volumes.filter((volume) => numberOf(volume) >= 0).sort((a, b) => numberOf(a) - numberOf(b));
}

export interface ExpectedVolume {
  readonly volume: GuestVolume;
  /** Undefined when the program does not name one. */
  readonly sha256: Sha256 | undefined;
}

/**
 * Which bytes the program's variables promise. `PINFERENCE_CODE_SHA256` is of the code volume;
 * `PINFERENCE_MODEL_SHA256` has one hash for each model volume, separated by commas.
 * Errors: `program_failed` when they do not fit the volumes.
 */
export function expectedVolumes(
  volumes: readonly GuestVolume[],
  variables: Variables,
): { readonly code: ExpectedVolume; readonly models: readonly ExpectedVolume[] } {
  const code = volumes.find(({ mount }) => mount === CODE_MOUNT);
  if (code === undefined) throw new CodedError("program_failed", `the program has no volume at ${CODE_MOUNT}`);
  const models = modelVolumes(volumes);
  const codeHashes = hashesIn(variables, "PINFERENCE_CODE_SHA256", 1);
  const modelHashes = hashesIn(variables, "PINFERENCE_MODEL_SHA256", models.length);
  return {
    code: { volume: code, sha256: codeHashes[0] },
    models: models.map((volume, at) => ({ volume, sha256: modelHashes[at] })),
  };
}

/**
 * Reads the whole volume, which also brings it into memory, and compares. `onProgress` gets the part that has been read,
 * from 0 to 1, where its size is known. Errors: `hash_mismatch` naming the volume; the signal's reason.
 */
export async function checkVolume(
  { volume, sha256 }: ExpectedVolume,
  log: GuestLog,
  signal: AbortSignal,
  onProgress?: (part: number) => void,
): Promise<void> {
  const { mount, device } = volume;
  if (sha256 === undefined) return log("volume_not_checked", { mount, reason: "the program names no sha256 for it" });
  const startedAt = performance.now();
  const found = await hashFile(volume.devicePath, signal, onProgress).catch((cause: unknown) => {
    signal.throwIfAborted();
    const message = `The volume ${mount} (${device}) cannot be read: ${(cause as Error).message}.`;
    throw new CodedError("hash_mismatch", message, { cause });
  });
  const ms = Math.round(performance.now() - startedAt);
  log("volume_checked", { mount, device, bytes: found.bytes, ms, ok: found.sha256 === sha256 });
  if (found.sha256 === sha256) return;
  const message =
    `The volume ${mount} (${device}) is not what this program was published with: its sha256 is ${found.sha256}, ` +
    `and the program names ${sha256}. The machine that runs it has a damaged copy; another one may not.`;
  throw new CodedError("hash_mismatch", message);
}

async function hashFile(
  path: string,
  signal: AbortSignal,
  onProgress?: (part: number) => void,
): Promise<{ sha256: string; bytes: number }> {
  const hash = createHash("sha256");
  const file = await open(path);
  try {
    // Two, so that one is read while the other is hashed.
    const pieces = [Buffer.allocUnsafeSlow(PIECE_BYTES), Buffer.allocUnsafeSlow(PIECE_BYTES)] as const;
    let bytes = 0;
    let totalBytes = (await file.stat()).size;
    let reading = file.read(pieces[0], 0, PIECE_BYTES);
    for (let turn = 0; ; turn = 1 - turn) {
      const { bytesRead, buffer } = await reading;
      if (bytesRead === 0) return { sha256: hash.digest("hex"), bytes };
      signal.throwIfAborted();
      // A block device has no size of its own.
      if (bytes === 0 && totalBytes === 0) totalBytes = squashfsBytes(buffer.subarray(0, bytesRead));
      bytes += bytesRead;
      if (totalBytes > 0) onProgress?.(Math.min(1, bytes / totalBytes));
      reading = file.read(pieces[turn === 0 ? 1 : 0], 0, PIECE_BYTES);
      // If hashing fails, the read in flight must not be nobody's.
      reading.catch(() => undefined);
      hash.update(buffer.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}

/** What a squashfs image says of its size; 0 for anything else. Source: Linux, fs/squashfs/squashfs_fs.h. */
function squashfsBytes(head: Buffer): number {
  return head.byteLength >= 48 && head.toString("latin1", 0, 4) === "hsqs" ? Number(head.readBigUInt64LE(40)) : 0;
}

function hashesIn(variables: Variables, name: string, count: number): (Sha256 | undefined)[] {
  const text = variables[name]?.trim() ?? "";
  if (text === "") return [];
  const hashes = text.split(",").map((hash) => parseSha256(hash.trim()));
  if (hashes.length === count) return hashes;
  throw new CodedError("program_failed", `${name} has ${hashes.length} hashes for ${count} volumes`);
}
