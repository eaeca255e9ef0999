import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import type { CommandEvent, ErrorEvent, ReadyEvent, StageEvent } from "../../deploy/commands/events.ts";

export const COMMAND = fileURLToPath(new URL("../../../bin/pinference.js", import.meta.url));
const LONGEST_MS = 120_000;

interface UpSurroundings {
  /** After this it is killed. */
  readonly longestMs?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** `pinference up --json` as a process of its own. */
export class UpProcess {
  readonly child: ChildProcess;
  readonly events: CommandEvent[] = [];
  stderr = "";
  readonly #waiting = new Set<() => void>();
  readonly #ended: Promise<number | null>;
  #isClosed = false;

  constructor(
    dataDir: string,
    args: readonly string[] = [],
    { env = {}, cwd, longestMs = LONGEST_MS }: UpSurroundings = {},
  ) {
    const { ALEPH_PRIVATE_KEY: _secret, ...inherited } = process.env;
    this.child = spawn(process.execPath, [COMMAND, "up", "--json", "--port", "0", "--data-dir", dataDir, ...args], {
      env: { ...inherited, ...env },
      ...(cwd === undefined ? {} : { cwd }),
      stdio: ["ignore", "pipe", "pipe"],
    });
    const lines = createInterface({ input: this.child.stdout! });
    lines.on("line", (line) => {
      this.events.push(JSON.parse(line) as CommandEvent);
      for (const wake of this.#waiting) wake();
    });
    this.child.stderr!.on("data", (chunk: Buffer) => (this.stderr += chunk.toString()));
    const timer = setTimeout(() => this.child.kill("SIGKILL"), longestMs);
    this.#ended = once(this.child, "close").then(([code]) => {
      clearTimeout(timer);
      this.#isClosed = true;
      for (const wake of this.#waiting) wake();
      return code as number | null;
    });
  }

  /** The exit code, once all output was read. */
  ended(): Promise<number | null> {
    return this.#ended;
  }

  async interrupt(): Promise<number | null> {
    this.child.kill("SIGINT");
    return this.#ended;
  }

  async ready(): Promise<ReadyEvent> {
    return (await this.#find((event) => event.event === "ready")) as ReadyEvent;
  }

  async stage(stage: string): Promise<StageEvent> {
    return (await this.#find((event) => event.event === "stage" && event.stage === stage)) as StageEvent;
  }

  get error(): ErrorEvent | undefined {
    return this.events.find((event) => event.event === "error");
  }

  /** `stage outcome` of each stage so far. */
  get stages(): readonly string[] {
    return this.events.flatMap((event) => (event.event === "stage" ? [`${event.stage} ${event.outcome}`] : []));
  }

  async #find(isWanted: (event: CommandEvent) => boolean): Promise<CommandEvent> {
    for (;;) {
      const found = this.events.find(isWanted);
      if (found !== undefined) return found;
      if (this.#isClosed) {
        throw new Error(`up ended: ${JSON.stringify(this.error ?? this.stderr)}`);
      }
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#waiting.delete(wake);
          resolve();
        };
        this.#waiting.add(wake);
      });
    }
  }
}

/** Numbers of the processes whose command line names this text. Linux only: elsewhere, none are seen. */
export function processesNaming(text: string): readonly number[] {
  return processNumbers().filter((pid) => readProcess(pid, "cmdline").includes(text));
}

function processNumbers(): readonly number[] {
  if (process.platform !== "linux") return [];
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** Empty for a process that has ended meanwhile. */
function readProcess(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "latin1");
  } catch {
    return "";
  }
}
