/** The evaluated system prompt that ships beside a model. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, linkSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import type { Engine } from "../../../src/domain/engine.ts";
import { PINNED_HEADER_FILE, PINNED_STATE_FILE } from "../../../src/domain/pinned-prefix.ts";
import { startEngine } from "../../../src/engine/load.ts";
import type { PinnedHeader } from "../../../src/engine/pinned-prefix.ts";
import { StateFiles } from "../../../src/engine/state-files.ts";
import { chatRequest, demoModelPath, greedy } from "../../support/demo-model.ts";
import { scratchDirectory } from "../../support/scratch.ts";
import { collect, doneOf, textOf, tokensOf } from "../../support/steps.ts";
import { makeModel } from "../../support/wide-model.ts";

const program = fileURLToPath(new URL("../../../src/pin-prefix.js", import.meta.url));
const systemPrompt = "You are a kind fox who lives by the river and answers in short words. ".repeat(8).trim();
const skip =
  (StateFiles.open() === undefined && "this system has no file system in memory") ||
  (`${process.platform}-${process.arch}` !== "linux-x64" && "portable states are of x86-64");

function compute(request: object, env: NodeJS.ProcessEnv = {}): PinnedHeader {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program], {
    input: JSON.stringify({ modelSha256: "ab".repeat(32), systemPrompt, threads: 1, ...request }),
    encoding: "utf8",
    env: { ...process.env, UV_THREADPOOL_SIZE: "1", ...env },
  });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as PinnedHeader;
}

const hashesOf = (directory: string) =>
  [PINNED_HEADER_FILE, PINNED_STATE_FILE].map((name) =>
    createHash("sha256")
      .update(readFileSync(join(directory, name)))
      .digest("hex"),
  );

async function start(modelPath: string, slots: number, lines: [string, Record<string, unknown>][] = []) {
  const engine = startEngine({
    modelPath,
    modelId: "model",
    aliases: [],
    contextLength: 1024,
    slots,
    queueLength: 4,
    threads: 1,
    log: (event, data) => lines.push([event, data]),
  });
  await engine.ready;
  return engine;
}

async function ask(engine: Engine, user: string, reuse = true) {
  const messages = [{ role: "system", content: systemPrompt } as const, { role: "user", content: user } as const];
  const steps = await collect(engine, chatRequest(messages, { maxTokens: 8, topLogprobs: 1, sampling: greedy, reuse }));
  return { text: textOf(steps), tokens: tokensOf(steps), cached: doneOf(steps).usage.cachedTokens };
}

describe("a prefix that ships beside a model", { skip }, () => {
  const folder = scratchDirectory();
  const model = makeModel("small");
  const place = (name: string) => {
    const directory = join(folder, name);
    mkdirSync(directory);
    linkOrCopy(model.path, join(directory, "model.gguf"));
    return directory;
  };
  let shipped: string;
  let header: PinnedHeader;
  before(() => {
    shipped = place("shipped");
    header = compute({ modelPath: model.path, directory: shipped });
  });
  after(() => model.remove());

  test("equal requests give equal bytes, whatever the count of threads and the C library's choices", () => {
    const again = join(folder, "again");
    // As on a processor without fused multiplication.
    const env = { GLIBC_TUNABLES: "glibc.cpu.hwcaps=-FMA,-AVX2" };
    compute({ modelPath: model.path, directory: again, threads: 2 }, env);
    assert.deepEqual(hashesOf(again), hashesOf(shipped));
  });

  for (const slots of [1, 3]) {
    test(`the first request has all of it, and the answer of an evaluated one (${slots} slots)`, async () => {
      const lines: [string, Record<string, unknown>][] = [];
      const engine = await start(join(shipped, "model.gguf"), slots, lines);
      assert.deepEqual(
        lines.find(([event]) => event === "pinned prefix"),
        ["pinned prefix", { tokens: header.tokens.length }],
      );
      const first = await ask(engine, "Who are you?");
      assert.equal(first.cached, header.tokens.length);
      const evaluated = await ask(engine, "Who are you?", false);
      assert.equal(evaluated.cached, 0);
      for (const [index, { logprob }] of first.tokens.entries()) {
        assert.ok(Math.abs(logprob - evaluated.tokens[index]!.logprob) < 0.05, "other roundings, not another state");
      }
      // It stays: slots that lost it get it again.
      for (const content of ["a ", "b ", "c ", "d "]) {
        await collect(engine, chatRequest(content.repeat(120), { maxTokens: 1 }));
      }
      assert.equal((await ask(engine, "Where do you live?")).cached, header.tokens.length);
      await engine.close();
    });
  }

  test("what does not fit is refused with its reason, and all is evaluated", async () => {
    const faults: readonly (readonly [string, Partial<PinnedHeader> | "state"])[] = [
      ["another library", { library: "3.0.0" }],
      ["another model", { weightBytes: 1 }],
      ["tokens beyond the vocabulary", { tokens: header.tokens.map(() => 200_000) }],
      ["a context too long", { tokens: Array.from({ length: 2000 }, () => 1) }],
      ["another size", { stateBytes: header.stateBytes - 1 }],
      ["another format", { format: 9 as 1 }],
      ["no list", { tokens: "all" as unknown as number[] }],
      ["a state of several", "state"],
    ];
    for (const [name, fault] of faults) {
      const directory = place(name);
      const state = readFileSync(join(shipped, PINNED_STATE_FILE));
      if (fault === "state") state.writeUInt32LE(7, 12);
      writeFileSync(join(directory, PINNED_STATE_FILE), state);
      writeFileSync(
        join(directory, PINNED_HEADER_FILE),
        JSON.stringify({ ...header, ...(fault === "state" ? {} : fault) }),
      );
      const lines: [string, Record<string, unknown>][] = [];
      const engine = await start(join(directory, "model.gguf"), 2, lines);
      assert.ok(
        lines.some(([event, { reason }]) => event === "pinned prefix refused" && typeof reason === "string"),
        name,
      );
      assert.equal((await ask(engine, "Who are you?")).cached, 0, name);
      await engine.close();
    }
  });
});

test("a small model takes it only where it was computed with the same roundings", { skip }, async () => {
  const folder = scratchDirectory();
  for (const [name, isPortable] of [
    ["portable", true],
    ["own", false],
  ] as const) {
    const directory = join(folder, name);
    const header = compute({ modelPath: demoModelPath, directory, isPortable });
    copyFileSync(demoModelPath, join(directory, "model.gguf"));
    const lines: [string, Record<string, unknown>][] = [];
    const engine = await start(join(directory, "model.gguf"), 2, lines);
    const warm = await ask(engine, "Who are you?");
    const cold = await ask(engine, "Who are you?", false);
    assert.deepEqual([warm.text, warm.tokens], [cold.text, cold.tokens]);
    if (isPortable && lines.some(([event]) => event === "pinned prefix refused")) assert.equal(warm.cached, 0);
    else assert.ok(warm.cached > 0 && warm.cached <= header.tokens.length);
    if (!isPortable) assert.ok(warm.cached > 0);
    await engine.close();
  }
});

function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to);
  }
}
