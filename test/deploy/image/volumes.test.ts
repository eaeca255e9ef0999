import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";

import { planHostRuntime } from "../../../deploy/image/host-runtime.ts";
import { planModelVolume } from "../../../deploy/image/model-volume.ts";
import { SquashfsReader } from "../../../deploy/image/read-squashfs.ts";
import { buildSquashfs } from "../../../deploy/image/squashfs.ts";
import { noise, temporaryFolder } from "./support.ts";

test("a model volume holds the model file and its card with sorted keys, the weights as they are", async (t) => {
  const folder = await temporaryFolder(t);
  const ggufPath = join(folder, "download");
  await writeFile(ggufPath, noise(1_000_000));
  const card = { id: "tiny", aliases: ["b", "a"], contextLength: 512, nested: { z: 1, a: null } };
  const plan = await planModelVolume({ ggufPath, fileName: "tiny.Q8_0.gguf", card });
  const { path } = await buildSquashfs(plan, join(folder, "image"), { compression: "none" });

  const image = await SquashfsReader.open(path);
  t.after(() => image.close());
  const files = [...image.entries()].filter((entry) => entry.kind === "file");
  assert.deepEqual(
    files.map((file) => file.path),
    ["model-card.json", "tiny.Q8_0.gguf"],
  );
  const [cardFile, model] = files;
  assert.ok(cardFile !== undefined && model !== undefined);
  assert.equal(
    (await buffer(image.readFile(cardFile))).toString(),
    `${JSON.stringify({ aliases: ["b", "a"], contextLength: 512, id: "tiny", nested: { a: null, z: 1 } }, null, 2)}\n`,
  );
  const stored = (await readFile(path)).subarray(model.start, model.start + model.bytes);
  assert.ok(stored.equals(noise(1_000_000)), "a plain file lies in the image in one piece");
});

test("the order of a card's keys does not change the volume", async (t) => {
  const folder = await temporaryFolder(t);
  const ggufPath = join(folder, "model");
  await writeFile(ggufPath, "weights");
  const plans = [
    { id: "x", bytes: 1 },
    { bytes: 1, id: "x" },
  ].map((card) => planModelVolume({ ggufPath, fileName: "m.gguf", card }));
  assert.deepEqual(await plans[0], await plans[1]);
});

test("a missing model file is named", async () => {
  await assert.rejects(planModelVolume({ ggufPath: "/no/such.gguf", fileName: "m.gguf", card: {} }), {
    code: "model_file_missing",
  });
});

test("the host runtime is one page that says what it is, in an image of 4096 bytes", async (t) => {
  const built = await buildSquashfs(planHostRuntime(), join(await temporaryFolder(t), "image"), {
    compression: "none",
  });
  assert.equal(built.bytes, 4096);
  assert.match((await readFile(built.path)).toString("latin1"), /the machine that the node runs on/);
});
