/** The command `pinference`: the only file that puts the parts together. */
import { readFileSync } from "node:fs";

import dotenv from "dotenv";

import { bench } from "./commands/bench.ts";
import { chat } from "./commands/chat.ts";
import { runCommandLine } from "./commands/command-line.ts";
import { deploy } from "./commands/deploy.ts";
import { imageBuild } from "./commands/image-build.ts";
import { modelAdd } from "./commands/model-add.ts";
import { forget } from "./commands/forget.ts";
import { keysAuthorize } from "./commands/keys-authorize.ts";
import { modelList } from "./commands/model-list.ts";
import { humanOutput, jsonOutput, type Output } from "./commands/output.ts";
import { node } from "./commands/node.ts";
import { plan } from "./commands/plan.ts";
import { progressModeFor } from "./commands/progress-bar.ts";
import { createProgressLine } from "./commands/progress-line.ts";
import { up } from "./commands/up.ts";
import { status } from "./commands/status.ts";
import { verify } from "./commands/verify.ts";
import { warm } from "./commands/warm.ts";
import { endOnBugs, endOnSignals, ignoreClosedPipes } from "./ending.ts";
import { createParts } from "./parts.ts";

/** What may still hold the process at the end, such as an idle connection, has this long. */
const LAST_CHANCE_MS = 2000;

const packageRoot = new URL("../../", import.meta.url);
const { version } = JSON.parse(readFileSync(new URL("package.json", packageRoot), "utf8")) as { version: string };

// Into an object of its own: the private key must not reach the programs that are started.
const fromFile: Record<string, string> = {};
dotenv.config({ quiet: true, processEnv: fromFile });
const env = { ...fromFile, ...process.env };

const ending = new AbortController();
ignoreClosedPipes(process.stdout, process.stderr);
endOnSignals(ending);
endOnBugs(ending);

process.exitCode = await runCommandLine(process.argv.slice(2), {
  commands: [
    up,
    plan,
    deploy,
    verify,
    status,
    warm,
    chat,
    bench,
    forget,
    imageBuild,
    modelList,
    modelAdd,
    keysAuthorize,
    node,
  ],
  version,
  context: { env, signal: ending.signal, parts: createParts(packageRoot, env) },
  print: (text) => void process.stdout.write(text),
  createOutput,
});
setTimeout(() => process.exit(), LAST_CHANCE_MS).unref();

function createOutput(json: boolean): Output {
  if (json) return jsonOutput(process.stdout);
  const color = process.stdout.isTTY && !env["NO_COLOR"] && env["TERM"] !== "dumb";
  return humanOutput({
    stdout: process.stdout,
    stderr: process.stderr,
    color,
    progressLine: createProgressLine(process.stderr, progressModeFor(process.stderr, env, json)),
  });
}
