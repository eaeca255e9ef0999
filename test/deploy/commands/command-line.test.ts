import assert from "node:assert/strict";
import { test } from "node:test";

import { type Command, command } from "../../../deploy/commands/command.ts";
import { runCommandLine } from "../../../deploy/commands/command-line.ts";
import type { CommandEvent } from "../../../deploy/commands/events.ts";
import type { Parts } from "../../../deploy/commands/parts.ts";
import { CodedError } from "../../../src/domain/errors.ts";

const failing = (name: string, error: unknown): Command =>
  command({ name, summary: `Fail as ${name}`, options: {}, run: () => Promise.reject(error as Error) });

const COMMANDS = [
  command({ name: "up", summary: "Go up", options: {}, run: () => Promise.resolve() }),
  command({ name: "model list", summary: "List models", options: {}, run: () => Promise.resolve() }),
  failing("lost", new CodedError("model_file_missing", "there is no file")),
  failing("alone", new CodedError("network_unreachable", "nobody answers")),
  failing("full", new CodedError("rate_limit_exceeded", "come back")),
  failing("left", new CodedError("interrupted", "Ctrl-C", { details: { signal: "SIGINT" } })),
  failing("ended", new CodedError("interrupted", "ended", { details: { signal: "SIGTERM" } })),
  failing("broken", new TypeError("x is undefined")),
];

async function run(args: readonly string[], env: Record<string, string> = {}) {
  const events: CommandEvent[] = [];
  let printed = "";
  let json = false;
  const exitCode = await runCommandLine(args, {
    commands: COMMANDS,
    version: "1.2.3",
    context: { env, signal: new AbortController().signal, parts: {} as Parts },
    print: (text) => (printed += text),
    createOutput(wanted) {
      json = wanted;
      return { json, emit: (event) => void events.push(event), progress: () => undefined };
    },
  });
  const [event] = events;
  return { exitCode, printed, json, event, message: event?.event === "error" ? event.message : "" };
}

test("help lists every command, its own page shows the options, and both end with 0", async () => {
  for (const args of [[], ["--help"], ["-h"], ["help"]]) {
    const { exitCode, printed } = await run(args);
    assert.equal(exitCode, 0);
    for (const { name, summary } of COMMANDS) assert.match(printed, new RegExp(`  ${name} +${summary}`));
  }
  for (const args of [
    ["model", "list", "--help"],
    ["model", "list", "-h"],
  ]) {
    assert.match((await run(args)).printed, /^List models\.\n\nUsage: pinference model list \[OPTIONS\]/);
  }
});

test("the version is printed alone", async () => {
  assert.equal((await run(["--version"])).printed, "1.2.3\n");
});

const EXIT_CODES = [
  [["up"], 0],
  [["lost"], 1],
  [["up", "--what"], 2],
  [["up", "unwanted"], 2],
  [["nothing"], 2],
  [["alone"], 3],
  [["full"], 3],
  [["broken"], 70],
  [["left"], 130],
  [["ended"], 143],
] as const;

for (const [args, expected] of EXIT_CODES) {
  test(`\`${args.join(" ")}\` ends with ${expected}`, async () => {
    assert.equal((await run(args)).exitCode, expected);
  });
}

test("an unknown command is answered with the nearest one", async () => {
  assert.match((await run(["upp"])).message, /no command "upp"; did you mean `pinference up`/);
  assert.match((await run(["modle", "list"])).message, /did you mean `pinference model list`/);
  assert.match((await run(["model"])).message, /no command "model"; did you mean `pinference model list`/);
  assert.match((await run(["model", "remove"])).message, /no command "model remove"/);
  assert.match((await run(["teleport"])).message, /see `pinference --help`/);
});

test("a bug shows its stack only with PINFERENCE_DEBUG=1", async () => {
  assert.doesNotMatch((await run(["broken"])).message, /\n/);
  assert.match((await run(["broken"])).message, /TypeError: x is undefined.*PINFERENCE_DEBUG=1/);
  assert.match((await run(["broken"], { PINFERENCE_DEBUG: "1" })).message, /\n {4}at /);
});

test("--json shapes even the errors of the command line", async () => {
  const { json, event } = await run(["up", "--what", "--json"]);
  assert.equal(json, true);
  assert.deepEqual(event, {
    event: "error",
    code: "usage",
    message: "there is no option --what; --help lists them",
    exitCode: 2,
  });
});

test("an interrupted command says that it stopped, not that it failed", async () => {
  assert.deepEqual((await run(["left"])).event, { event: "stopped", exitCode: 130 });
});
