import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { pythonWithOpenai } from "../support/python.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { UpProcess } from "../support/up-process.ts";

const ANSWER = "This is a test.";
const README_URL = "http://127.0.0.1:4020/vm/<item hash>";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const readme = readFileSync(join(root, "README.md"), "utf8");
const home = join(scratchDirectory(), "home");

function run(program: string, args: readonly string[], input = "") {
  return spawnSync(program, args, { cwd: root, input, encoding: "utf8", timeout: 60_000 });
}

function without(program: string, args: readonly string[], missing: string): string | false {
  return run(program, args).status !== 0 && missing;
}

interface Client {
  readonly skip: string | false;
  readonly example?: readonly [program: string, file: string];
  /** How the README's block of this language is run, from standard input. */
  readonly block: readonly [language: string, program: string, ...args: string[]];
  readonly readAnswer: (stdout: string) => string;
}

const python = pythonWithOpenai();

const CLIENTS: Record<string, Client> = {
  "Python's openai": {
    skip: python.missing,
    example: [python.path, "examples/chat.py"],
    block: ["python", python.path, "-"],
    readAnswer: (stdout) => stdout.trim(),
  },
  "JavaScript's openai": {
    skip: false,
    example: [process.execPath, "examples/chat.mjs"],
    block: ["js", process.execPath, "--input-type=module", "-"],
    readAnswer: (stdout) => stdout.trim(),
  },
  "Anthropic's": {
    skip: false,
    block: ["ts", process.execPath, "--input-type=module", "-"],
    readAnswer: (stdout) => stdout.trim(),
  },
  curl: {
    skip: without("curl", ["--version"], "needs curl"),
    example: ["sh", "examples/chat.sh"],
    block: ["sh", "sh"],
    readAnswer: (stdout) =>
      (JSON.parse(stdout) as { choices: [{ message: { content: string } }] }).choices[0].message.content,
  },
};

/** The README's block in this language that talks to a model, with the URL of another program. */
function readmeBlock(language: string, baseUrl: string): string {
  const blocks = [...readme.matchAll(/^```(\w+)\n(.*?)^```/gms)].filter(
    ([, name, body]) => name === language && body?.includes(README_URL),
  );
  assert.equal(blocks.length, 1, `one block in ${language}`);
  return blocks[0]![2]!.replaceAll(README_URL, baseUrl.replace(/\/v1$/, ""));
}

for (const [mode, options] of [
  ["as it is", []],
  ["as the network", ["--as-network"]],
] as const) {
  test(`the node ${mode} answers the examples, and the README's blocks`, async (t) => {
    const up = new UpProcess(home, options);
    const baseUrl = (await up.ready()).models[0]!.baseUrl;
    for (const [name, { skip, example, block, readAnswer }] of Object.entries(CLIENTS)) {
      if (example !== undefined) {
        await t.test(`examples with ${name}`, { skip }, () => {
          const [program, file] = example;
          // With a slash at its end, as the README has it, and without.
          for (const url of [baseUrl, `${baseUrl}/`]) {
            const { stdout, stderr, status } = run(program, [file, url]);
            assert.equal(stderr, "");
            assert.equal(status, 0);
            assert.equal(readAnswer(stdout), ANSWER);
          }
        });
      }
      const [language, interpreter, ...args] = block;
      await t.test(`README with ${name}`, { skip }, () => {
        const { stdout, stderr, status } = run(interpreter, args, readmeBlock(language, baseUrl));
        assert.equal(status, 0, stderr);
        assert.equal(readAnswer(stdout), ANSWER);
      });
    }
    assert.equal(await up.interrupt(), 130);
  });
}
