import assert from "node:assert/strict";
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { ExtractedVolumes } from "../../../../deploy/local/backends/extracted-volumes.ts";
import { extractSquashfs, isExtracted } from "../../../../deploy/image/extract-squashfs.ts";
import { planImage } from "../../../../deploy/image/plan.ts";
import { buildSquashfs } from "../../../../deploy/image/squashfs.ts";
import { parseFileHash, type FileHash } from "../../../../src/domain/hash.ts";
import { file } from "../../image/support.ts";

test("a volume is made anew when it was changed, and what a kill left is removed", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "extracted-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const image = await buildSquashfs(planImage([file("src/main.js", "1")]), join(folder, "image"), {
    compression: "none",
  });
  const volumes = join(folder, "volumes");
  const source = { path: image.path, fileHash: parseFileHash(image.sha256) };
  let extractions = 0;
  const open = () =>
    new ExtractedVolumes(
      volumes,
      async (...work) => {
        extractions += 1;
        await extractSquashfs(...work);
      },
      isExtracted,
    ).directoryOf(source, new AbortController().signal);

  await mkdir(join(volumes, `.${source.fileHash}.part-Ab3xYz`, "src"), { recursive: true });
  await writeFile(join(volumes, `.${source.fileHash}.part-Ab3xYz`, "src", "main.js"), "");
  const directory = await open();
  assert.deepEqual(await readdir(volumes), [source.fileHash]);
  assert.equal(await open(), directory);
  assert.equal(extractions, 1);

  await appendFile(join(directory, "src/main.js"), "; by hand");
  assert.equal(await open(), directory);
  assert.equal(extractions, 2);
  assert.equal(await readFile(join(directory, "src/main.js"), "utf8"), "1");
  assert.deepEqual(await readdir(volumes), [source.fileHash]);
});

test("what was made of images that are named no more is removed, and nothing else", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "extracted-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const [named, forgotten] = ["a", "b"].map((digit) => parseFileHash(digit.repeat(64))) as [FileHash, FileHash];
  for (const name of [named, forgotten, "notes"]) await mkdir(join(folder, name, "src"), { recursive: true });
  const volumes = new ExtractedVolumes(folder, extractSquashfs, isExtracted);
  await volumes.collect(new Set([named]));
  assert.deepEqual((await readdir(folder)).toSorted(), [named, "notes"]);
  assert.deepEqual(await readdir(join(folder, named)), ["src"]);
  await new ExtractedVolumes(join(folder, "nowhere"), extractSquashfs, isExtracted).collect(new Set());
});
