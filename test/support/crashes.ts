/** Deploys that are killed without warning, each followed by one that is let through. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, readFileSync } from "node:fs";
import { createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { PRIVATE_KEY } from "../deploy/local/ccn-harness.ts";
import { runCommand } from "./commands.ts";
import { demoModelPath } from "./demo-model.ts";
import { COMMAND } from "./up-process.ts";
import { VM_PACKAGES } from "./vm-packages.ts";

/** When the first deploy is killed: at its n-th line of output, which is where steps meet, or so long after it. */
export interface Moment {
  /** 0: its start. */
  readonly line: number;
  readonly ms?: number;
}

export interface CrashOutcome {
  readonly moment: Moment;
  /** The last stage that the killed deploy had told. */
  readonly reached: string;
  /** Empty when all is as it should be. */
  readonly problems: readonly string[];
}

interface Listed {
  readonly type: string;
  readonly content: { readonly item_hash?: string; readonly metadata?: { readonly name?: string } };
}

export class CrashRuns {
  readonly #directory: string;
  readonly #options: readonly string[];
  #nodeUrl: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #proxy: Server;
  #uploads = 0;
  #runs = 0;

  /** `options` of each deploy. */
  constructor(directory: string, nodeUrl: string, options: readonly string[] = ["--no-start"]) {
    this.#directory = directory;
    this.#nodeUrl = nodeUrl;
    this.#options = options;
    this.#env = { PINFERENCE_DATA_DIR: join(directory, "home"), ALEPH_PRIVATE_KEY: PRIVATE_KEY };
    this.#proxy = createServer((from, to) => {
      if (from.method === "POST" && (from.url ?? "").includes("/add_file")) this.#uploads += 1;
      const { method = "GET", headers, url = "/" } = from;
      const onward = request(`${this.#nodeUrl}${url}`, { method, headers }, (answer) => {
        to.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(to);
      });
      onward.on("error", () => to.destroy());
      from.on("error", () => onward.destroy());
      from.pipe(onward);
    });
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#proxy.listen(0, "127.0.0.1", resolve));
    return this;
  }

  stop(): void {
    this.#proxy.closeAllConnections();
    this.#proxy.close();
  }

  /** The node has been started again. */
  moveTo(nodeUrl: string): void {
    this.#nodeUrl = nodeUrl;
  }

  /** How long after its start a deploy that nobody kills gives each of its lines, in milliseconds. */
  async measure(): Promise<readonly number[]> {
    const times: number[] = [];
    this.#runs += 1;
    const startedAt = performance.now();
    await this.#run(this.#argsFor(this.#copyModel(`measured-${this.#runs}`)), () => {
      times.push(performance.now() - startedAt);
    });
    return times;
  }

  /** A model that was never published is deployed, killed, and deployed again. */
  async crash(moment: Moment): Promise<CrashOutcome> {
    this.#runs += 1;
    const name = `crash-${this.#runs}`;
    const args = this.#argsFor(this.#copyModel(name));
    const lockfile = join(this.#directory, "pins.json");

    const before = await this.#messages();
    const isFirst = before.every(({ type }) => type !== "STORE");
    const reached = await this.#killedAt(args, moment);
    const problems: string[] = [];
    if (existsSync(lockfile)) checkJson(lockfile, problems);
    // The node may still be at work on what the killed process had sent.
    const kept = await this.#messages();
    const pinned = kept.slice(before.length).filter(({ type }) => type === "STORE").length;
    const uploadsBefore = this.#uploads;

    const done = await runCommand(args, this.#env);
    if (done.code !== 0)
      problems.push(`the second deploy ended with ${done.code}: ${JSON.stringify(done.events.at(-1))}`);
    // Runtime, code and model on a new network; on a used one, the model alone.
    const toUpload = (isFirst ? 3 : 1) - pinned;
    if (this.#uploads - uploadsBefore > toUpload) problems.push("what was pinned was uploaded again");
    const after = await this.#messages();
    const programs = after.filter(({ type, content }) => type === "PROGRAM" && content.metadata?.name === name);
    if (programs.length !== 1) problems.push(`${programs.length} programs were published`);
    const files = after.filter(({ type }) => type === "STORE").map(({ content }) => content.item_hash);
    if (new Set(files).size !== files.length) problems.push("a file was pinned twice");
    const expected = isFirst ? 4 : 2;
    if (after.length - before.length !== expected)
      problems.push(`${after.length - before.length} messages instead of ${expected}`);
    const locked = checkJson(lockfile, problems) as { models?: Record<string, unknown> } | undefined;
    if (locked?.models?.[name] === undefined) problems.push("the lockfile does not name it");
    return { moment, reached, problems };
  }

  /** Processed, oldest first. */
  async #messages(): Promise<readonly Listed[]> {
    const response = await fetch(`${this.#nodeUrl}/api/v0/messages.json?pagination=0&sortOrder=1`, {
      // A deploy may take longer than the node keeps an idle connection, which would then close while it is used again.
      headers: { connection: "close" },
    });
    return ((await response.json()) as { messages: Listed[] }).messages;
  }

  #copyModel(name: string): string {
    const path = join(this.#directory, `${name}.gguf`);
    copyFileSync(demoModelPath, path);
    return path;
  }

  #argsFor(model: string): readonly string[] {
    const url = `http://127.0.0.1:${(this.#proxy.address() as AddressInfo).port}`;
    const lockfile = join(this.#directory, "pins.json");
    return ["deploy", model, "--yes", ...this.#options, "--api-server", url, "--lockfile", lockfile];
  }

  async #killedAt(args: readonly string[], moment: Moment): Promise<string> {
    let reached = "nothing";
    let lines = 0;
    let timer: NodeJS.Timeout | undefined;
    const arm = (child: ChildProcess) => {
      if (lines !== moment.line) return;
      if (moment.ms === undefined) child.kill("SIGKILL");
      else timer = setTimeout(() => child.kill("SIGKILL"), moment.ms);
    };
    await this.#run(
      args,
      (line, child) => {
        const event = JSON.parse(line) as { event: string; stage?: string };
        reached = event.stage ?? event.event;
        lines += 1;
        arm(child);
      },
      arm,
    );
    clearTimeout(timer);
    return reached;
  }

  /** To its end, whoever brings that about. Notes come when a program is slow to start: they are no step. */
  async #run(
    args: readonly string[],
    onLine: (line: string, child: ChildProcess) => void,
    onStart?: (child: ChildProcess) => void,
  ): Promise<void> {
    const child = spawn(process.execPath, [COMMAND, ...args, "--json"], {
      env: { ...process.env, PINFERENCE_PACKAGES_DIR: VM_PACKAGES, ...this.#env },
      stdio: ["ignore", "pipe", "ignore"],
    });
    const closed = once(child, "close");
    onStart?.(child);
    for await (const line of createInterface({ input: child.stdout })) {
      if (!line.startsWith('{"event":"note"') && !line.startsWith('{"event":"progress"')) onLine(line, child);
    }
    await closed;
  }
}

function checkJson(path: string, problems: string[]): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    problems.push(`the lockfile is damaged: ${String(error)}`);
    return undefined;
  }
}

/** Numbers from 0 to 1, the same for the same seed: mulberry32. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
