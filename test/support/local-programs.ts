/** A local node on a free port with programs that are real child processes, and a store in memory. */
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cp, readFile, rename } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";

import type { Extract } from "../../deploy/local/backends/extracted-volumes.ts";
import { createProcessBackend } from "../../deploy/local/backends/process.ts";
import { type LocalNode, type LocalNodeOptions, startLocalNode } from "../../deploy/local/node.ts";
import type { NodeStore, ProcessedMessage } from "../../deploy/local/store.ts";
import { type ItemHash, parseFileHash, parseItemHash } from "../../src/domain/hash.ts";

/** An "image" of these tests is a text file that names a directory. */
export const extractByCopy: Extract = async (imagePath, directory) => {
  await cp(await readFile(imagePath, "utf8"), `${directory}.part`, { recursive: true });
  await rename(`${directory}.part`, directory);
};

const OPERATOR = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A";

export const alwaysIntact = () => Promise.resolve(true);

export interface ProgramOverrides {
  /** Default: the operator. */
  readonly sender?: string;
  readonly variables?: Readonly<Record<string, string>>;
  readonly resources?: { readonly vcpus?: number; readonly memory?: number; readonly seconds?: number };
  readonly volumes?: readonly unknown[];
  readonly runtime?: { readonly ref: string };
  readonly code?: { readonly encoding?: string; readonly entrypoint?: string; readonly ref?: string };
  readonly metadata?: Readonly<Record<string, unknown>>;
}

export interface LocalPrograms {
  readonly node: LocalNode;
  readonly dataDir: string;
  readonly logged: { event: string; fields: Readonly<Record<string, unknown>> }[];
  /** A PROGRAM that runs the fake guest, with one model volume. */
  readonly publish: (overrides?: ProgramOverrides) => ItemHash;
  /** The STORE messages behind every program here. */
  readonly codeRef: ItemHash;
  readonly modelRef: ItemHash;
  /** Takes away the file that a STORE message names. */
  readonly loseFile: (ref: ItemHash) => void;
  /** `/vm/<hash><path>` as a whole URL. */
  readonly url: (program: ItemHash, path: string) => string;
}

export async function startPrograms(t: TestContext, options: Partial<LocalNodeOptions> = {}): Promise<LocalPrograms> {
  const dataDir = mkdtempSync(join(tmpdir(), "local-programs-"));
  const messages = new Map<ItemHash, ProcessedMessage>();
  const files = new Map<string, string>();
  const logged: LocalPrograms["logged"] = [];

  function addMessage(type: string, content: Record<string, unknown>, sender = OPERATOR): ItemHash {
    const itemContent = JSON.stringify({ ...content, time: messages.size });
    const itemHash = parseItemHash(sha256(itemContent));
    messages.set(itemHash, { itemHash, type, sender, itemContent, content });
    return itemHash;
  }
  function addImage(name: string): ItemHash {
    const path = join(dataDir, `${name}.image`);
    const directory = join(dataDir, "sources", name);
    mkdirSync(directory, { recursive: true });
    writeFileSync(path, directory);
    const fileHash = parseFileHash(sha256(path));
    files.set(fileHash, path);
    return addMessage("STORE", { item_type: "storage", item_hash: fileHash });
  }

  const runtimeRef = addImage("runtime");
  const codeRef = addImage("code");
  const modelRef = addImage("model");
  const code = join(dataDir, "sources/code");
  mkdirSync(join(code, "src"));
  copyFileSync(fileURLToPath(new URL("./fake-guest.js", import.meta.url)), join(code, "src/main.js"));
  writeFileSync(join(code, "package.json"), '{"type":"module"}');
  writeFileSync(join(dataDir, "sources/model/model.txt"), "weights");

  const store: NodeStore = {
    message: async (itemHash) => messages.get(itemHash),
    filePath: async (fileHash) => files.get(fileHash),
    programs: async () => [...messages.values()].filter(({ type }) => type === "PROGRAM"),
  };
  const node = await startLocalNode({
    dataDir,
    port: 0,
    asNetwork: false,
    backend: createProcessBackend({
      dataDir,
      extract: extractByCopy,
      isIntact: alwaysIntact,
      asNetwork: options.asNetwork ?? false,
      graceMs: 500,
    }),
    createCcn: async () => ({
      store,
      listener: (request, response) => void response.end(`ccn ${request.url}`),
      upgrade(request, socket) {
        if (request.url !== "/api/ws0/messages") return false;
        socket.end("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
        return true;
      },
      close: async () => {},
    }),
    checkStrict: () => {},
    owners: [OPERATOR],
    log: (event, fields = {}) => void logged.push({ event, fields }),
    ...options,
  });
  t.after(async () => {
    await node.stop();
    rmSync(dataDir, { recursive: true, force: true });
  });

  function publish(overrides: ProgramOverrides = {}): ItemHash {
    return addMessage(
      "PROGRAM",
      {
        type: "vm-function",
        code: { encoding: "squashfs", entrypoint: "src/main.js", ref: codeRef, ...overrides.code },
        runtime: overrides.runtime ?? { ref: runtimeRef },
        resources: { vcpus: 1, memory: 1024, seconds: 30, ...overrides.resources },
        volumes: overrides.volumes ?? [{ mount: "/models/0", ref: modelRef }],
        variables: overrides.variables ?? {},
        metadata: overrides.metadata ?? { name: "fake model" },
      },
      overrides.sender,
    );
  }
  return {
    node,
    dataDir,
    logged,
    publish,
    codeRef,
    modelRef,
    loseFile: (ref) => files.delete(messages.get(ref)?.content["item_hash"] as string),
    url: (program, path) => `${node.url}/vm/${program}${path}`,
  };
}

/** True while the process exists, also as a zombie of its parent. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
