import assert from "node:assert/strict";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { test, type TestContext } from "node:test";

import { planShardVolumes } from "../../../deploy/image/model-volume.ts";
import { SquashfsReader } from "../../../deploy/image/read-squashfs.ts";
import { buildSquashfs } from "../../../deploy/image/squashfs.ts";
import { startEngine } from "../../../src/engine/load.ts";
import { readGgufHeader, readGgufLayout } from "../../../src/gguf/gguf-header.ts";
import { planShards, shardName } from "../../../src/gguf/split.ts";
import { demoModelPath, requestOf, transcripts } from "../../support/demo-model.ts";
import { makeGguf, TINY_METADATA } from "../../support/gguf-maker.ts";
import { temporaryFolder } from "./support.ts";

const MAX_BYTES = 800_000;
const never = new AbortController().signal;

function planDemoVolumes(maxBytes = MAX_BYTES) {
  return planShardVolumes({ ggufPath: demoModelPath, fileName: "demo.Q8_0.gguf", card: { id: "demo" }, maxBytes });
}

/** The files of each volume, built and read again. */
async function buildVolumes(t: TestContext): Promise<ReadonlyMap<string, Buffer>[]> {
  const folder = await temporaryFolder(t);
  const volumes: Map<string, Buffer>[] = [];
  for (const [index, { plan }] of planDemoVolumes().entries()) {
    const { path } = await buildSquashfs(plan, join(folder, `volume-${index}`), { compression: "none" });
    const image = await SquashfsReader.open(path);
    t.after(() => image.close());
    const files = new Map<string, Buffer>();
    for (const entry of image.entries()) {
      if (entry.kind === "file") files.set(entry.path, await buffer(image.readFile(entry)));
    }
    volumes.push(files);
  }
  return volumes;
}

async function writeMade(t: TestContext, parts: Parameters<typeof makeGguf>[0]): Promise<string> {
  const path = join(await temporaryFolder(t), "made.gguf");
  await writeFile(path, makeGguf(parts));
  return path;
}

test("a model in three volumes, joined by links in one folder, answers as the whole model does", async (t) => {
  const volumes = await buildVolumes(t);
  assert.equal(volumes.length, 3);
  assert.deepEqual([...volumes[0]!.keys()], ["demo.Q8_0-00001-of-00003.gguf", "model-card.json"]);
  assert.deepEqual([...volumes[2]!.keys()], ["demo.Q8_0-00003-of-00003.gguf"]);

  const folder = await temporaryFolder(t);
  const joined = join(folder, "joined");
  await mkdir(joined);
  for (const [index, files] of volumes.entries()) {
    await mkdir(join(folder, String(index)));
    for (const [name, bytes] of files) {
      await writeFile(join(folder, String(index), name), bytes);
      if (name.endsWith(".gguf")) await symlink(join(folder, String(index), name), join(joined, name));
    }
  }
  const engine = startEngine({
    modelPath: join(joined, shardName("demo.Q8_0.gguf", 0, 3)),
    modelId: "demo",
    aliases: [],
    contextLength: undefined,
    slots: 1,
    queueLength: 4,
    threads: 1,
  });
  t.after(() => engine.close());
  await engine.ready;
  for (const transcript of transcripts.slice(0, 5)) {
    let text = "";
    for await (const step of (await engine.generate(requestOf(transcript), never)).steps) {
      if (step.type === "text") text += step.text;
    }
    assert.equal(text, transcript.expected_raw);
  }
});

test("shards hold every byte of the weights once, in order, and none is larger than asked", async (t) => {
  const { header } = readGgufLayout(demoModelPath);
  const weights = (await readFile(demoModelPath)).subarray(header.dataOffset, header.requiredFileBytes);
  const folder = await temporaryFolder(t);
  const parts: Buffer[] = [];
  let parameters = 0;
  for (const [index, files] of (await buildVolumes(t)).entries()) {
    const [name, bytes] = [...files].find(([file]) => file.endsWith(".gguf"))!;
    assert.ok(bytes.byteLength <= MAX_BYTES);
    const path = join(folder, name);
    await writeFile(path, bytes);
    const shard = readGgufHeader(path);
    assert.deepEqual([shard.splitNo, shard.splitCount], [index, 3]);
    parameters += shard.parameterCount;
    const data = bytes.subarray(shard.dataOffset);
    // Between two shards lies what aligned the second one's first tensor.
    parts.push(data, Buffer.alloc((header.alignment - (data.byteLength % header.alignment)) % header.alignment));
  }
  assert.equal(parameters, header.parameterCount);
  assert.ok(Buffer.concat(parts).subarray(0, weights.byteLength).equals(weights));
});

test("the plan depends on the file alone", () => {
  assert.deepEqual(planDemoVolumes(), planDemoVolumes());
});

test("a tensor larger than a shard may be is refused with the limit", () => {
  assert.throws(() => planDemoVolumes(100_000), { code: "config_invalid", message: /at most 100,000 bytes/ });
});

test("a shard is not split again", async (t) => {
  const path = await writeMade(t, {
    metadata: [...TINY_METADATA, ["split.no", { u32: 0 }], ["split.count", { u32: 2 }]],
  });
  const plan = () => planShards(readGgufLayout(path), "made.gguf", 1_000_000, () => Buffer.alloc(0));
  assert.throws(plan, { code: "model_file_invalid", message: /one shard of a split model/ });
});

test("an alignment of the model's own is kept in every shard", async (t) => {
  const path = await writeMade(t, {
    metadata: [...TINY_METADATA, ["general.alignment", { u32: 64 }]],
    tensors: [
      { name: "a", dimensions: [32n, 8n], offset: 0n },
      { name: "b", dimensions: [32n, 8n], offset: 1024n },
    ],
    dataBytes: 4096,
  });
  const volumes = planShardVolumes({ ggufPath: path, fileName: "made.gguf", card: {}, maxBytes: 2000 });
  assert.equal(volumes.length, 2);
  const { path: image } = await buildSquashfs(volumes[1]!.plan, `${path}.image`, { compression: "none" });
  const reader = await SquashfsReader.open(image);
  t.after(() => reader.close());
  const [file] = [...reader.entries()].filter((entry) => entry.kind === "file");
  await writeFile(`${path}.shard`, await buffer(reader.readFile(file!)));
  assert.equal(readGgufHeader(`${path}.shard`).alignment, 64);
});
