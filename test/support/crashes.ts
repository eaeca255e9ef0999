/** Deploys that are killed without warning, each followed by one that is let through. */
import { spawn } from "node:child_process";
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

/** When the first deploy is killed: at its n-th line of output, which is where steps meet, or after so long. */
export type Moment = { readonly line: number } | { readonly ms: number };

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
  readonly #nodeUrl: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #proxy: Server;
  #uploads = 0;
  #run = 0;

  constructor(directory: string, nodeUrl: string) {
    this.#directory = directory;
    this.#nodeUrl = nodeUrl;
    this.#env = { PINFERENCE_DATA_DIR: join(directory, "home"), ALEPH_PRIVATE_KEY: PRIVATE_KEY };
    this.#proxy = createServer((from, to) => {
      if (from.method === "POST" && (from.url ?? "").includes("/add_file")) this.#uploads += 1;
      const { method = "GET", headers, url = "/" } = from;
      const onward = request(`${nodeUrl}${url}`, { method, headers }, (answer) => {
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

  /** A model that was never published is deployed, killed, and deployed again. */
  async crash(moment: Moment): Promise<CrashOutcome> {
    this.#run += 1;
    const name = `crash-${this.#run}`;
    const model = join(this.#directory, `${name}.gguf`);
    copyFileSync(demoModelPath, model);
    const lockfile = join(this.#directory, "pins.json");
    const url = `http://127.0.0.1:${(this.#proxy.address() as AddressInfo).port}`;
    const args = ["deploy", model, "--yes", "--no-start", "--api-server", url, "--lockfile", lockfile];

    const before = (await this.#messages()).length;
    const reached = await this.#killedAt(args, moment);
    const problems: string[] = [];
    if (existsSync(lockfile)) checkJson(lockfile, problems);
    // The node may still be at work on what the killed process had sent.
    const kept = await this.#messages();
    const wasPinned = kept.slice(before).some(({ type }) => type === "STORE");
    const uploadsBefore = this.#uploads;

    const done = await runCommand(args, this.#env);
    if (done.code !== 0)
      problems.push(`the second deploy ended with ${done.code}: ${JSON.stringify(done.events.at(-1))}`);
    const isFirst = this.#run === 1;
    if (wasPinned && !isFirst && this.#uploads > uploadsBefore) problems.push("what was pinned was uploaded again");
    const after = await this.#messages();
    const programs = after.filter(({ type, content }) => type === "PROGRAM" && content.metadata?.name === name);
    if (programs.length !== 1) problems.push(`${programs.length} programs were published`);
    const files = after.filter(({ type }) => type === "STORE").map(({ content }) => content.item_hash);
    if (new Set(files).size !== files.length) problems.push("a file was pinned twice");
    const expected = isFirst ? 4 : 2;
    if (after.length - before !== expected) problems.push(`${after.length - before} messages instead of ${expected}`);
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

  async #killedAt(args: readonly string[], moment: Moment): Promise<string> {
    const child = spawn(process.execPath, [COMMAND, ...args, "--json"], {
      env: { ...process.env, PINFERENCE_PACKAGES_DIR: VM_PACKAGES, ...this.#env },
      stdio: ["ignore", "pipe", "ignore"],
    });
    const closed = once(child, "close");
    const timer = "ms" in moment ? setTimeout(() => child.kill("SIGKILL"), moment.ms) : undefined;
    let reached = "nothing";
    let lines = 0;
    for await (const line of createInterface({ input: child.stdout })) {
      const event = JSON.parse(line) as { event: string; stage?: string };
      reached = event.stage ?? event.event;
      lines += 1;
      if ("line" in moment && lines === moment.line) child.kill("SIGKILL");
    }
    await closed;
    clearTimeout(timer);
    return reached;
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
