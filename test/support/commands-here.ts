/** Commands in this process: the very ones of the command line, with the real parts. Quicker than a process for each. */
import { deploy } from "../../deploy/commands/deploy.ts";
import { runCommandLine } from "../../deploy/commands/command-line.ts";
import type { CommandEvent } from "../../deploy/commands/events.ts";
import { forget } from "../../deploy/commands/forget.ts";
import { keysAuthorize } from "../../deploy/commands/keys-authorize.ts";
import { plan } from "../../deploy/commands/plan.ts";
import { status } from "../../deploy/commands/status.ts";
import { verify } from "../../deploy/commands/verify.ts";
import { warm } from "../../deploy/commands/warm.ts";
import { createParts } from "../../deploy/parts.ts";
import type { Finished } from "./commands.ts";
import { VM_PACKAGES } from "./vm-packages.ts";

const packageRoot = new URL("../../../", import.meta.url);

/** `pinference ARGS --json`, from its start to its end. */
export async function runHere(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  signal = new AbortController().signal,
): Promise<Finished> {
  const events: CommandEvent[] = [];
  const whole = { PINFERENCE_PACKAGES_DIR: VM_PACKAGES, ...env };
  const code = await runCommandLine([...args, "--json"], {
    commands: [plan, deploy, verify, status, warm, forget, keysAuthorize],
    version: "0",
    context: { env: whole, signal, parts: createParts(packageRoot, whole) },
    print: () => undefined,
    createOutput: () => ({ json: true, emit: (event) => void events.push(event), progress: () => undefined }),
  });
  return { code, events, stderr: "" };
}
