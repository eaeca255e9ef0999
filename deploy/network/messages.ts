/** The contents this product publishes, written out in full: a default left out would never start (messages/strict.ts). */
import { storageEngineOf, type FileHash } from "../../src/domain/hash.ts";
import type { ProgramSpec } from "./network.ts";

/** The channel that official tools use too. */
export const CHANNEL = "ALEPH-CLOUDSOLUTIONS";

/** From 2027 on the network takes nothing but credits, so nothing else is offered here. */
const PAYMENT = { chain: "ETH", type: "credit" } as const;

export interface Author {
  /** The owner, who pays. */
  readonly address: string;
  /** Seconds since 1970. */
  readonly time: number;
}

/** Asks the network to keep a file. */
export function toStoreContent(author: Author, fileHash: FileHash) {
  return {
    address: author.address,
    time: author.time,
    item_type: storageEngineOf(fileHash),
    item_hash: fileHash,
    payment: PAYMENT,
  };
}

/** A program that can never change: every ref is fixed and no amend is allowed. */
export function toProgramContent(author: Author, program: ProgramSpec) {
  return {
    address: author.address,
    time: author.time,
    type: "vm-function",
    allow_amend: false,
    code: {
      encoding: "squashfs",
      entrypoint: program.code.entrypoint,
      ref: program.code.ref,
      interface: "binary",
      use_latest: false,
    },
    on: { http: true, persistent: false },
    // Without a network card prompts can leave the VM as an answer only, and the price is half.
    environment: { reproducible: false, internet: false, aleph_api: false, shared_cache: false },
    resources: {
      vcpus: program.resources.vcpus,
      memory: program.resources.memoryMiB,
      seconds: program.resources.seconds,
    },
    runtime: { ref: program.runtime.ref, use_latest: false, comment: program.runtime.comment },
    volumes: program.volumes.map(({ mount, ref, comment }) => ({
      mount,
      ref,
      use_latest: false,
      ...(comment === undefined ? {} : { comment }),
    })),
    variables: { ...program.variables },
    metadata: { name: program.name },
    payment: PAYMENT,
  };
}
