/** A model volume with its evaluated system prompt: what a start finds, and whether others can make it again. */
import assert from "node:assert/strict";
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import type { LocalModel } from "../../../deploy/commands/parts.ts";
import type { Output } from "../../../deploy/commands/output.ts";
import { extractSquashfs } from "../../../deploy/image/extract-squashfs.ts";
import { SquashfsReader } from "../../../deploy/image/read-squashfs.ts";
import { modelVolumeRecipes } from "../../../deploy/parts/images.ts";
import { findModel } from "../../../deploy/parts/models.ts";
import { parseSha256 } from "../../../src/domain/hash.ts";
import { startEngine } from "../../../src/engine/load.ts";
import { StateFiles } from "../../../src/engine/state-files.ts";
import { chatRequest, DEMO_BYTES, DEMO_SHA256, demoModelPath } from "../../support/demo-model.ts";
import { collect, doneOf } from "../../support/steps.ts";
import { makeModel } from "../../support/wide-model.ts";
import { temporaryFolder } from "./support.ts";

const packageRoot = fileURLToPath(new URL("../../../../", import.meta.url));
const prompt = "You are a kind fox who lives by the river and answers in short words. ".repeat(8).trim();
const skip =
  (StateFiles.open() === undefined && "this system has no file system in memory") ||
  (`${process.platform}-${process.arch}` !== "linux-x64" && "portable states are of x86-64");
const { signal } = new AbortController();

function localModel(path: string, pinnedPrompt: string | undefined): LocalModel {
  return {
    id: "fox",
    aliases: [],
    path,
    isWhole: true,
    fileName: "fox.gguf",
    bytes: DEMO_BYTES,
    sha256: parseSha256(DEMO_SHA256),
    card: { id: "fox" },
    contextLength: 1024,
    slots: 1,
    resources: { vcpus: 1, memoryMiB: 512 },
    reasons: [],
    pinnedPrompt,
  };
}

test("the first request to what was unpacked from the volume has its system prompt already", { skip }, async (t) => {
  const made = makeModel("small");
  t.after(() => made.remove());
  const folder = await temporaryFolder(t);
  const [recipe] = modelVolumeRecipes(localModel(made.path, prompt), packageRoot);
  const one = await recipe!.build(join(folder, "one.squashfs"), { signal });
  const again = await recipe!.build(join(folder, "again.squashfs"), { signal });
  assert.equal(again.sha256, one.sha256, "whoever builds it gets the same bytes");
  assert.deepEqual(readdirSync(folder).toSorted(), ["again.squashfs", "one.squashfs"], "nothing else is left");

  const directory = join(folder, "unpacked");
  await extractSquashfs(one.path, directory, { signal });
  const engine = startEngine({
    modelPath: join(directory, "fox.gguf"),
    modelId: "fox",
    aliases: [],
    contextLength: 1024,
    slots: 2,
    queueLength: 1,
    threads: 1,
  });
  await engine.ready;
  const messages = [{ role: "system", content: prompt } as const, { role: "user", content: "Hi" } as const];
  const { usage } = doneOf(await collect(engine, chatRequest(messages, { maxTokens: 1 })));
  assert.ok(usage.cachedTokens >= 100 && usage.promptTokens - usage.cachedTokens < 30, JSON.stringify(usage));
  await engine.close();
});

test("a catalogue entry's pinned prompt ships in the volume of its model", { skip }, async (t) => {
  const folder = await temporaryFolder(t);
  const shipped = new URL("../../../../deploy/catalogue/models.json", import.meta.url);
  const { entries } = JSON.parse(readFileSync(shipped, "utf8")) as { entries: { id: string; source: object }[] };
  const demo = entries.find(({ id }) => id === "aleph-tiny-chat");
  copyFileSync(demoModelPath, join(folder, "demo.gguf"));
  const entry = { ...demo, source: { file: "demo.gguf" }, systemPrompt: prompt, pinnedPrefix: true };
  writeFileSync(join(folder, "models.json"), JSON.stringify({ entries: [entry] }));
  const model = await findModel("aleph-tiny-chat", {
    directory: folder,
    contextLength: undefined,
    slots: 1,
    memoryMiB: undefined,
    env: { PINFERENCE_CATALOGUE: folder },
    out: { emit: () => undefined, progress: () => undefined } as unknown as Output,
    signal,
  });
  const [recipe] = modelVolumeRecipes(model, packageRoot);
  const { path } = await recipe!.build(join(folder, "volume.squashfs"), { signal });
  const image = await SquashfsReader.open(path);
  const files = [...image.entries()].map((file) => file.path);
  await image.close();
  assert.deepEqual(files.slice(-3), ["model-card.json", "pinned-prefix.json", "pinned-prefix.state"]);
});

test("a volume's key changes with its pinned prompt, and is the old one without", () => {
  const keyOf = (pinned: string | undefined) =>
    modelVolumeRecipes(localModel(demoModelPath, pinned), packageRoot)[0]!.key;
  assert.equal(keyOf(undefined), keyOf(undefined));
  assert.equal(new Set([keyOf(undefined), keyOf("a"), keyOf("b")]).size, 3);
});

test(
  "a prompt that is not worth it, and a model in several volumes, are refused with the reason",
  { skip },
  async (t) => {
    const folder = await temporaryFolder(t);
    const [recipe] = modelVolumeRecipes(localModel(demoModelPath, "Be kind."), packageRoot);
    await assert.rejects(recipe!.build(join(folder, "x"), { signal }), {
      code: "not_supported",
      message: /share \d+ tokens/,
    });
    assert.deepEqual(readdirSync(folder), []);
    assert.throws(() => modelVolumeRecipes(localModel(demoModelPath, prompt), packageRoot, 800_000), {
      code: "not_supported",
      message: /too large for one volume/,
    });
  },
);
