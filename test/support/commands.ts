import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

import type { CommandEvent } from "../../deploy/commands/events.ts";
import { COMMAND } from "./up-process.ts";
import { VM_PACKAGES } from "./vm-packages.ts";

const LONGEST_MS = 600_000;

export interface Finished {
  readonly code: number | null;
  readonly events: readonly CommandEvent[];
  readonly stderr: string;
}

/** The event of a kind that a command gave. */
export function eventOf<Kind extends CommandEvent["event"]>(
  { events, stderr }: Finished,
  kind: Kind,
): Extract<CommandEvent, { event: Kind }> {
  const found = events.find((event) => event.event === kind);
  if (found === undefined) throw new Error(`no ${kind} event: ${JSON.stringify(events)} ${stderr}`);
  return found as Extract<CommandEvent, { event: Kind }>;
}

/** `pinference ARGS --json` as a process of its own, from its start to its end. */
export async function runCommand(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  options: { readonly killAfterMs?: number; readonly input?: string } = {},
): Promise<Finished> {
  const { ALEPH_PRIVATE_KEY: _secret, ...inherited } = process.env;
  const child = spawn(process.execPath, [COMMAND, ...args, "--json"], {
    env: { ...inherited, PINFERENCE_PACKAGES_DIR: VM_PACKAGES, ...env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  child.stdin.end(options.input ?? "");
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const timer = setTimeout(() => child.kill("SIGKILL"), options.killAfterMs ?? LONGEST_MS);
  const [code] = (await once(child, "close")) as [number | null];
  clearTimeout(timer);
  const lines = stdout.split("\n").slice(0, -1);
  return { code, stderr, events: lines.map((line) => JSON.parse(line) as CommandEvent) };
}

export interface NodeProcess {
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** `pinference node` on a free port. Whoever starts it stops it. */
export async function startNodeProcess(
  dataDir: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<NodeProcess> {
  const child = spawn(process.execPath, [COMMAND, "node", "--json", "--port", "0", "--data-dir", dataDir, ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const closed = once(child, "close");
  const stop = async () => {
    child.kill("SIGTERM");
    await closed;
  };
  for await (const line of createInterface({ input: child.stdout })) {
    const event = JSON.parse(line) as CommandEvent;
    if (event.event === "error") throw new Error(event.message);
    if (event.event === "stage" && event.detail !== undefined) {
      return { url: event.detail, pid: child.pid ?? 0, stop };
    }
  }
  throw new Error("the node did not start");
}
