import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";

import type { CommandEvent } from "../../deploy/commands/events.ts";
import type { Output } from "../../deploy/commands/output.ts";
import type { LocalModel, Parts } from "../../deploy/commands/parts.ts";
import type { AlephNetwork } from "../../deploy/network/aleph.ts";
import type { ProgramSpec } from "../../deploy/network/network.ts";
import type { ImageRecipe } from "../../deploy/stages/pin-image.ts";
import { parseFileHash, parseItemHash, parseSha256, type ItemHash } from "../../src/domain/hash.ts";

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

/** Remembers what it was asked to do. */
class FakeNetwork implements AlephNetwork {
  readonly address = "0x0000000000000000000000000000000000000001";
  readonly owner = this.address;
  readonly apiServer: string;
  readonly calls: string[] = [];
  readonly specs: ProgramSpec[] = [];
  readonly known = new Set<string>();
  /** Files that somebody deleted, the messages left. */
  hasFiles = true;

  constructor(apiServer: string) {
    this.apiServer = apiServer;
  }
  limits() {
    return Promise.resolve({ storageBytes: 1e8, ipfsBytes: 1e9, carBytes: 4e9 });
  }
  pin(image: Parameters<AlephNetwork["pin"]>[0]) {
    this.calls.push(`pin ${image.sha256.slice(0, 4)}`);
    const itemHash = this.#keep(`store ${image.sha256}`);
    return Promise.resolve({
      sha256: image.sha256,
      bytes: image.bytes,
      fileHash: parseFileHash(image.sha256),
      itemHash,
    });
  }
  holds() {
    return Promise.resolve(this.hasFiles);
  }
  findPin() {
    return Promise.resolve(undefined);
  }
  publish(spec: ProgramSpec) {
    this.calls.push(`publish ${spec.name}`);
    this.specs.push(spec);
    return Promise.resolve(this.#keep(`program ${JSON.stringify(spec)}`));
  }
  findProgram() {
    return Promise.resolve(undefined);
  }
  estimateProgram = () => Promise.resolve(11_000);
  estimateStore = () => Promise.resolve(1);
  price = () => Promise.resolve(11_000);
  runningCost = () => Promise.resolve(0);
  credits = () => Promise.resolve(1_000_000);
  forget = () => Promise.reject(new Error("not asked for"));
  programsNamed = () => Promise.resolve([]);
  programsUsing = () => Promise.resolve([]);
  aggregate = () => Promise.resolve(undefined);
  publishAggregate = () => Promise.reject(new Error("not asked for"));
  message(itemHash: ItemHash) {
    if (!this.known.has(itemHash)) return Promise.resolve(undefined);
    const state = { itemHash, status: "processed", type: "STORE", sender: this.address } as const;
    return Promise.resolve({ ...state, content: {}, rejection: undefined });
  }
  #keep(text: string): ItemHash {
    const itemHash = parseItemHash(sha256(text));
    this.known.add(itemHash);
    return itemHash;
  }
}

export function fakeRecipe(stage: string, calls: string[], model?: string): ImageRecipe {
  const name = model === undefined ? stage : `${stage} of ${model}`;
  return {
    stage,
    ...(model === undefined ? {} : { model }),
    key: `key of ${name}`,
    build(path) {
      calls.push(`build ${name}`);
      writeFileSync(path, name);
      const hash = parseSha256(sha256(name));
      return Promise.resolve({ path, bytes: name.length, sha256: hash, cid: parseFileHash(hash) });
    },
  };
}

function fakeModel(id: string, memoryMiB = 768): LocalModel {
  return {
    id,
    aliases: [],
    path: `/nowhere/${id}.gguf`,
    isWhole: true,
    fileName: `${id}.gguf`,
    bytes: 5,
    sha256: parseSha256(sha256(id)),
    card: { id },
    contextLength: 2048,
    slots: 4,
    resources: { vcpus: 1, memoryMiB },
    reasons: ["slots 1: one request at a time"],
  };
}

/** Parts whose node answers at `url`, and the list of what they did. */
export function fakeParts(url: string, overrides: Partial<Parts> = {}) {
  const network = new FakeNetwork(url);
  const { calls } = network;
  const parts: Parts = {
    lockfilePath: "/nowhere/pins.json",
    loadKey: () =>
      Promise.resolve({ source: "file", privateKey: "0x01", address: "0x0000000000000000000000000000000000000001" }),
    startNode() {
      calls.push("start node");
      return Promise.resolve({
        url,
        runsOn: "processes",
        close() {
          calls.push("close node");
          return Promise.resolve();
        },
      });
    },
    connect: () => Promise.resolve(network),
    aggregates: () => () => Promise.resolve(undefined),
    reader: () => Promise.reject(new Error("not asked for")),
    catalogue: () => Promise.resolve([]),
    describeModel: (reference, { memoryMiB }) => Promise.resolve(fakeModel(reference, memoryMiB)),
    findModel: (reference, { memoryMiB }) => Promise.resolve(fakeModel(reference, memoryMiB)),
    addModel: () => Promise.reject(new Error("no test adds a model here")),
    endpoint: () => Promise.reject(new Error("no test opens an endpoint here")),
    openTerminal: () => {
      throw new Error("there is no terminal in tests");
    },
    runtime: () => Promise.resolve(fakeRecipe("runtime", calls)),
    codeVolume: () => Promise.resolve(fakeRecipe("code volume", calls)),
    modelVolumes: (model) => Promise.resolve([fakeRecipe("model volume", calls, model.id)]),
    confirm: () => Promise.resolve(undefined),
    openBrowser: (page) => void calls.push(`open ${page}`),
    ...overrides,
  };
  return { parts, network, calls };
}

/** Output that is kept. */
export function recorder(): Output & { readonly events: CommandEvent[] } {
  const events: CommandEvent[] = [];
  return { json: true, events, emit: (event) => void events.push(event), progress: () => undefined };
}
