/**
 * What CI runs to publish, and what a person can run too. The workflow of the same name calls nothing else.
 *
 *   node dist/scripts/publish.js plan [--comment FILE] [OPTIONS]    the plan as Markdown, for a pull request
 *   node dist/scripts/publish.js deploy [--page FILE] [OPTIONS]     deploys, then writes docs/models.md
 *
 * All other options go to the command. Ends with 0 when the plan could be made, or everything is published.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { format, resolveConfig } from "prettier";

import type { CommandEvent, PlanEvent } from "../deploy/commands/events.ts";
import { SOMETHING_TO_DO } from "../deploy/commands/exit-codes.ts";
import { renderPlan } from "../deploy/commands/render-plan.ts";
import { openLockfile } from "../deploy/pins.ts";
import { modelsPage } from "./models-page.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const [step, ...given] = process.argv.slice(2);
const page = take("--page") ?? `${root}docs/models.md`;
const comment = take("--comment");
const lockfile = given.includes("--lockfile") ? given[given.indexOf("--lockfile") + 1] : undefined;

if (step === "plan") {
  const { code, events } = run("plan");
  const plan = events.find((event): event is PlanEvent => event.event === "plan");
  if (plan === undefined) end(code === 0 ? 1 : code);
  else {
    const text = toMarkdown(plan);
    if (comment === undefined) console.log(text);
    else writeFileSync(comment, text);
    end(code === SOMETHING_TO_DO ? 0 : code);
  }
} else if (step === "deploy") {
  const { code } = run("deploy", "--yes");
  // What was published before a failure is published: the page says so.
  const { models } = await openLockfile(lockfile ?? `${root}deploy/pins.json`);
  const options = await resolveConfig(`${root}docs/models.md`);
  const text = await format(modelsPage(models), { ...options, parser: "markdown" });
  if (read(page) !== text) writeFileSync(page, text);
  end(code);
} else {
  console.error("usage: publish.js plan|deploy [--comment FILE] [--page FILE] [OPTIONS of the command]");
  end(2);
}

/** Our own options, taken out of those that are handed on. */
function take(name: string): string | undefined {
  const at = given.indexOf(name);
  return at < 0 ? undefined : given.splice(at, 2)[1];
}

function run(command: string, ...more: readonly string[]) {
  const args = [`${root}bin/pinference.js`, command, "--json", ...more, ...given];
  const done = spawnSync(process.execPath, args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    maxBuffer: 2 ** 26,
  });
  const events = done.stdout
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as CommandEvent);
  for (const event of events) {
    if (event.event === "error") console.error(`error: ${event.message}`);
    if (event.event === "deployed") console.log(`${event.model}: ${event.baseUrl}`);
  }
  return { code: done.status ?? 1, events };
}

function toMarkdown(plan: PlanEvent): string {
  const title = plan.todo ? "Merging this publishes" : "Merging this changes nothing on the network";
  return `### ${title}\n\n\`\`\`\n${renderPlan(plan)}\`\`\`\n`;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

function end(code: number): void {
  process.exitCode = code;
}
