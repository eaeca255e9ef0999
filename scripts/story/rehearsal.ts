/** A network, a hub and an operator's machine below one folder, on which the story's commands are really run. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, cpSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { FileHub } from "../../test/support/file-hub.ts";
import { Names } from "./names.ts";

const COMMAND = fileURLToPath(new URL("../../../bin/pinference.js", import.meta.url));
const SHIPPED = fileURLToPath(new URL("../../../deploy/catalogue", import.meta.url));
const DEMO = join(SHIPPED, "demo", "aleph-tiny-chat.Q8_0.gguf");
const NODE_START_MS = 120_000;
const LOOK_MS = 50;

/** A command as a person types it, and what it said. Names stand for what differs from run to run. */
export interface Scene {
  readonly command: string;
  readonly output: string;
  readonly code: number | null;
}

interface Image {
  readonly fileHash: string;
  readonly itemHash: string;
}

export interface LockedModel {
  readonly itemHash: string;
  readonly url: string;
  readonly runtime: Image;
  readonly code: Image;
  readonly volumes: readonly Image[];
}

export class Rehearsal {
  readonly #folder: string;
  readonly #hub: FileHub;
  readonly #names: Names;
  readonly #packages: string;
  #node: ChildProcess | undefined;
  #url = "";
  #runs = 0;

  private constructor(folder: string, hub: FileHub, packages: string) {
    this.#folder = folder;
    this.#hub = hub;
    this.#packages = packages;
    this.#names = new Names();
    this.#names.add(join(folder, "catalogue"), "deploy/catalogue");
    this.#names.add(this.#lockfile, "deploy/pins.json");
    this.#names.add(join(folder, "home"), "~/.pinference");
    this.#names.addHash(hub.linkedEtag ?? "", "<sha256 of the model>");
  }

  static async open(folder: string, packages: string): Promise<Rehearsal> {
    cpSync(SHIPPED, join(folder, "catalogue"), { recursive: true });
    mkdirSync(join(folder, "home"), { mode: 0o700 });
    return new Rehearsal(folder, await new FileHub(readFileSync(DEMO)).listen(), packages);
  }

  get #lockfile(): string {
    return join(this.#folder, "pins.json");
  }

  get lockfileOptions(): readonly string[] {
    return ["--lockfile", this.#lockfile];
  }

  /** The entry of a model in the lockfile; its hashes get names. */
  locked(model: string): LockedModel {
    const { models } = JSON.parse(readFileSync(this.#lockfile, "utf8")) as { models: Record<string, LockedModel> };
    const found = models[model];
    if (found === undefined) throw new Error(`the lockfile has no ${model}`);
    const images = [
      ["runtime", found.runtime],
      ["code volume", found.code],
      ...found.volumes.map((volume) => ["model volume", volume] as const),
    ] as const;
    for (const [name, { fileHash, itemHash }] of images) {
      this.#names.addHash(fileHash, `<file of the ${name}>`);
      this.#names.addHash(itemHash, `<STORE of the ${name}>`);
    }
    return found;
  }

  /** A hash of a message; the latest name counts. */
  name(hash: string, name: string): void {
    this.#names.addHash(hash, name);
  }

  get messagesPath(): string {
    return join(this.#folder, "home", "node", "node", "messages.jsonl");
  }

  fileOf(hash: string): string {
    return join(this.#folder, "home", "node", "node", "files", hash);
  }

  /** Starts the network, at the port that it had before. */
  async startNode(): Promise<Scene> {
    const port = this.#url === "" ? "0" : new URL(this.#url).port;
    const log = join(this.#folder, "node.log");
    this.#node = this.#spawn(["node", "--port", port], log);
    const giveUpAt = performance.now() + NODE_START_MS;
    let output = "";
    while (!/http:\/\/\S+/.test(output)) {
      if (this.#node.exitCode !== null || performance.now() > giveUpAt) throw new Error(`no node: ${output}`);
      await delay(LOOK_MS);
      output = readFileSync(log, "utf8");
    }
    this.#url = /http:\/\/\S+/.exec(output)?.[0] ?? "";
    this.#names.add(this.#url, "http://127.0.0.1:4021");
    return { command: "pinference node --port 4021", output: this.#names.apply(output), code: null };
  }

  async stopNode(): Promise<void> {
    const node = this.#node;
    this.#node = undefined;
    if (node === undefined || node.exitCode !== null) return;
    const closed = once(node, "close");
    node.kill("SIGTERM");
    await closed;
  }

  async close(): Promise<void> {
    await this.stopNode();
    this.#hub.stop();
  }

  /** The text, as names: for what is known only after a scene was played. */
  named(scene: Scene): Scene {
    return { ...scene, command: this.#names.apply(scene.command), output: this.#names.apply(scene.output) };
  }

  /**
   * `pinference ARGS` to its end, with everything it prints, as `named` has to be applied to it. `hidden`: arguments
   * that only keep this machine apart.
   */
  async run(args: readonly string[], hidden: readonly string[] = [], input?: string): Promise<Scene> {
    this.#runs += 1;
    const log = join(this.#folder, `run-${this.#runs}.log`);
    const child = this.#spawn([...args, ...hidden], log);
    child.stdin?.end(input ?? "");
    const [code] = (await once(child, "close")) as [number | null];
    const typed = input === undefined ? "" : `echo '${input.trim()}' | `;
    return { command: `${typed}pinference ${args.join(" ")}`, output: readFileSync(log, "utf8"), code };
  }

  /** Both streams into one file, in their order. No secret of this process is handed on. */
  #spawn(args: readonly string[], log: string): ChildProcess {
    const fd = openSync(log, "w");
    try {
      return spawn(process.execPath, [COMMAND, ...args], {
        cwd: this.#folder,
        env: {
          PATH: process.env["PATH"],
          HOME: this.#folder,
          PINFERENCE_DATA_DIR: join(this.#folder, "home"),
          PINFERENCE_PACKAGES_DIR: this.#packages,
          PINFERENCE_CATALOGUE: join(this.#folder, "catalogue"),
          HF_ENDPOINT: this.#hub.url,
          ALEPH_API_SERVER: this.#url,
        },
        stdio: ["pipe", fd, fd],
      });
    } finally {
      closeSync(fd);
    }
  }
}
