import { stat } from "node:fs/promises";

import { CodedError } from "../../src/domain/errors.ts";
import { type FileHash, type ItemHash, parseFileHash, parseItemHash } from "../../src/domain/hash.ts";
import { CODE_MOUNT } from "../../src/domain/volume.ts";
import type { ImageFile, ProgramFiles } from "./backends/backend.ts";
import { contentRefused, noSuchProgram, notOwned, notSupported, partMissing, volumeMissing } from "./refusals.ts";
import type { NodeStore, ProcessedMessage } from "./store.ts";

/** Throws `message_invalid` with the reason where a CRN would not start the program. */
export type CheckStrict = (message: ProcessedMessage) => void;

export interface ResolvedProgram {
  readonly files: ProgramFiles;
  /** The STORE message of the code volume. */
  readonly codeRef: ItemHash;
}

/** Whose programs are started here: addresses of senders. Anybody else's stay cold, whatever they say. */
export type Owners = readonly string[];

/** The part of a strict PROGRAM content that a start needs. */
interface ProgramContent {
  readonly code: { readonly encoding: string; readonly entrypoint: string; readonly ref: string };
  readonly runtime: { readonly ref: string };
  readonly resources: { readonly vcpus: number; readonly memory: number; readonly seconds: number };
  readonly volumes: readonly { readonly mount?: string; readonly ref?: string }[];
  readonly variables?: Readonly<Record<string, string>>;
}

/** Whether this node runs programs of that address. */
export function isOwner(owners: Owners, sender: string): boolean {
  return owners.some((owner) => owner.toLowerCase() === sender.toLowerCase());
}

/**
 * PROGRAM message → refs → STORE messages → files. Every ref is taken as fixed: amended files are not looked for.
 * Errors: a `Refusal`, worded as a CRN words it.
 */
export async function resolveProgram(
  store: NodeStore,
  itemHash: ItemHash,
  checkStrict: CheckStrict,
  owners: Owners,
): Promise<ResolvedProgram> {
  const message = await store.message(itemHash);
  if (message?.type !== "PROGRAM") throw noSuchProgram(itemHash);
  if (!isOwner(owners, message.sender)) throw notOwned(itemHash, message.sender);
  try {
    checkStrict(message);
  } catch (error) {
    throw contentRefused(itemHash, error);
  }
  const content = message.content as unknown as ProgramContent;
  if (content.code.encoding !== "squashfs") {
    throw notSupported(itemHash, `its code is "${content.code.encoding}", only squashfs is supported`);
  }

  const code = await storedFile(store, content.code.ref);
  if ("missing" in code) throw partMissing("code", content.code.ref);
  const runtime = await storedFile(store, content.runtime.ref);
  if ("missing" in runtime) throw partMissing("runtime", content.runtime.ref);

  const volumes: ProgramFiles["volumes"][number][] = [];
  for (const { ref, mount } of content.volumes) {
    if (ref === undefined || mount === undefined) {
      throw notSupported(itemHash, "it has an ephemeral or persistent volume, only immutable ones are supported");
    }
    const file = await storedFile(store, ref);
    if ("missing" in file) throw volumeMissing(ref, file.missing);
    volumes.push({ ...file, mount });
  }

  const { vcpus, memory, seconds } = content.resources;
  return {
    codeRef: parseItemHash(content.code.ref),
    files: {
      itemHash,
      runtime,
      code: { ...code, entrypoint: content.code.entrypoint, mount: CODE_MOUNT },
      volumes,
      variables: content.variables ?? {},
      resources: { vcpus, memoryMiB: memory, seconds },
    },
  };
}

/** Every file that a processed PROGRAM names, whoever sent it. */
export async function filesOfPrograms(store: NodeStore): Promise<ReadonlySet<FileHash>> {
  const files = new Set<FileHash>();
  for (const { content } of await store.programs()) {
    const { code, runtime, volumes } = content as unknown as ProgramContent;
    for (const { ref } of [code, runtime, ...volumes]) {
      const message = ref === undefined ? undefined : await store.message(parseItemHash(ref));
      if (message?.type === "STORE") files.add(fileHashOf(message));
    }
  }
  return files;
}

type Missing = { readonly missing: "message" | "file" };

async function storedFile(store: NodeStore, ref: string): Promise<ImageFile | Missing> {
  const message = await store.message(parseItemHash(ref));
  if (message?.type !== "STORE") return { missing: "message" };
  const fileHash = fileHashOf(message);
  const path = await store.filePath(fileHash);
  // The store may know a file that has been deleted under it.
  if (path === undefined || !(await isFile(path))) return { missing: "file" };
  return { path, fileHash };
}

function fileHashOf(message: ProcessedMessage): FileHash {
  const { item_hash: text } = message.content;
  if (typeof text !== "string") throw new CodedError("message_invalid", `STORE ${message.itemHash} names no file`);
  return parseFileHash(text);
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}
