import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";

import { CidHasher } from "../../../deploy/cid/cid.ts";
import { hashImage } from "../../../deploy/image/image-hash.ts";
import { planImage, type ImagePlan, type PlanEntry } from "../../../deploy/image/plan.ts";
import { SquashfsReader, type ImageEntry } from "../../../deploy/image/read-squashfs.ts";
import { buildSquashfs } from "../../../deploy/image/squashfs.ts";
import { directory, file, link, noise, temporaryFolder, variedPlan } from "./support.ts";

const COMPRESSIONS = ["none", "gzip", "zstd"] as const;

/** Each entry with its content, in the image's order. */
async function readAll(path: string): Promise<{ entry: ImageEntry; content: Buffer | undefined }[]> {
  const image = await SquashfsReader.open(path);
  try {
    const found = [];
    for (const entry of image.entries()) {
      const content = entry.kind === "file" ? await buffer(image.readFile(entry)) : undefined;
      found.push({ entry, content });
    }
    return found;
  } finally {
    await image.close();
  }
}

async function assertRoundTrip(plan: ImagePlan, imagePath: string): Promise<void> {
  const [root, ...found] = await readAll(imagePath);
  assert.deepEqual([root?.entry.path, root?.entry.mode, root?.entry.kind], ["", 0o755, "directory"]);
  assert.deepEqual(
    found.map(({ entry }) => [entry.path, entry.mode]),
    plan.entries.map(({ path, mode }) => [path, mode]),
  );
  for (const [index, { content }] of plan.entries.entries()) {
    const { entry, content: read } = found[index] as (typeof found)[number];
    if (content.kind === "bytes") assert.ok(read?.equals(content.content), entry.path);
    if (content.kind === "file") assert.ok(read?.equals(await readFile(content.sourcePath)), entry.path);
    if (content.kind === "symlink") assert.equal(entry.kind === "symlink" && entry.target, content.target);
  }
}

for (const compression of COMPRESSIONS) {
  test(`what is written is read again (${compression}), and the hashes are those of the file`, async (t) => {
    const path = join(await temporaryFolder(t), "image");
    const plan = variedPlan();
    const built = await buildSquashfs(plan, path, { compression });
    await assertRoundTrip(plan, path);

    const bytes = await readFile(path);
    const cid = new CidHasher();
    cid.update(bytes);
    assert.deepEqual(built, {
      path,
      bytes: bytes.byteLength,
      sha256: createHash("sha256").update(bytes).digest("hex"),
      cid: cid.digest(),
    });
    assert.deepEqual({ path, ...(await hashImage(path)) }, built);
    assert.equal(bytes.byteLength % 4096, 0);
  });

  test(`10,000 files in one directory, and a plan with nothing in it, are read again (${compression})`, async (t) => {
    const path = join(await temporaryFolder(t), "image");
    const many = planImage(Array.from({ length: 10_000 }, (_, index) => file(`many/file-${index}`, `${index}`)));
    await buildSquashfs(many, path, { compression });
    await assertRoundTrip(many, path);
    await buildSquashfs(planImage([]), path, { compression });
    await assertRoundTrip(planImage([]), path);
  });
}

test("a plain image without blocks of zeros is hashed while it is written, to the same result", async (t) => {
  const path = join(await temporaryFolder(t), "image");
  const plan = planImage([file("a", noise(300_000)), file("b/c", noise(131_072, 3)), link("l", "a")]);
  const built = await buildSquashfs(plan, path, { compression: "none" });
  assert.equal(
    built.sha256,
    createHash("sha256")
      .update(await readFile(path))
      .digest("hex"),
  );
});

test("a big plain image, hashed by two threads, has the hashes of its file", async (t) => {
  const folder = await temporaryFolder(t);
  const source = join(folder, "source");
  await writeFile(source, Buffer.concat(Array.from({ length: 70 }, (_, index) => noise(1 << 20, index + 1))));
  const plan = planImage([
    { path: "model", mode: 0o644, content: { kind: "file", sourcePath: source, bytes: 70 << 20 } },
  ]);
  const progress: number[] = [];
  const built = await buildSquashfs(plan, join(folder, "image"), {
    compression: "none",
    onProgress: (done, total) => progress.push(done / total),
  });
  const bytes = await readFile(built.path);
  const cid = new CidHasher();
  cid.update(bytes);
  assert.equal(built.sha256, createHash("sha256").update(bytes).digest("hex"));
  assert.equal(built.cid, cid.digest());
  assert.equal(progress.at(-1), 1);
  assert.deepEqual(
    progress,
    progress.toSorted((a, b) => a - b),
  );
});

// Another platform, Node.js version or compressor that changes a byte of an image changes these, and the URL of
// everything published. A change here is a change of image bytes: name it in CHANGELOG.md.
test("the varied tree has the same bytes on every machine", async (t) => {
  const folder = await temporaryFolder(t);
  const hashes = [];
  for (const compression of COMPRESSIONS) {
    hashes.push((await buildSquashfs(variedPlan(), join(folder, compression), { compression })).sha256);
  }
  assert.deepEqual(hashes, [
    "7db51937d20f643fbc6502c492f1c71fbc27f93b44738ff1e6bfbd0ac3b39293",
    "0ea5dee3823aa5b04338d60390357875de127b7f7864cd03dcadf5c7506ac24d",
    "166183153fbaa329c87968d0837a80897cf4133d4061266c31302d40ed973b06",
  ]);
});

test("creation order, times and umask of the source files leave no trace", async (t) => {
  const hashes = [];
  for (const [names, umask, time] of [
    [["a", "b", "c"], 0o022, 1],
    [["c", "a", "b"], 0o077, 1_000_000_000],
  ] as const) {
    const folder = await temporaryFolder(t);
    const before = process.umask(umask);
    const entries: PlanEntry[] = [];
    await mkdir(join(folder, "tree"));
    for (const name of names) {
      const sourcePath = join(folder, "tree", name);
      await writeFile(sourcePath, `content of ${name}`);
      await utimes(sourcePath, time, time);
      entries.push({ path: `tree/${name}`, mode: 0o644, content: { kind: "file", sourcePath, bytes: 12 } });
    }
    process.umask(before);
    hashes.push((await buildSquashfs(planImage(entries), join(folder, "image"), { compression: "gzip" })).sha256);
  }
  assert.equal(hashes[0], hashes[1]);
});

test("a source that changed its size, or is gone, is named and leaves nothing behind", async (t) => {
  const folder = await temporaryFolder(t);
  const source = join(folder, "source");
  await writeFile(source, "12345");
  for (const [sourcePath, bytes] of [
    [source, 4],
    [source, 6],
    [join(folder, "gone"), 1],
  ] as const) {
    const plan = planImage([{ path: "f", mode: 0o644, content: { kind: "file", sourcePath, bytes } }]);
    await assert.rejects(buildSquashfs(plan, join(folder, "image"), { compression: "none" }), {
      code: "image_plan_invalid",
    });
  }
  assert.deepEqual(await readdir(folder), ["source"]);
});

test("a source that changes its size while it is read is an error", async (t) => {
  const folder = await temporaryFolder(t);
  const source = join(folder, "source");
  await writeFile(source, noise(9 << 20));
  const plan = planImage([{ path: "f", mode: 0o644, content: { kind: "file", sourcePath: source, bytes: 9 << 20 } }]);
  let shrunk: Promise<void> | undefined;
  const build = buildSquashfs(plan, join(folder, "image"), {
    compression: "none",
    onProgress: () => void (shrunk ??= truncate(source, 8 << 20)),
  });
  await assert.rejects(build, { code: "image_plan_invalid" });
  await shrunk;
});

test("an abort stops the build and leaves the earlier image in place", async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, "image");
  await writeFile(path, "earlier");
  const plan = planImage([file("f", noise(9 << 20))]);
  const controller = new AbortController();
  const build = buildSquashfs(plan, path, {
    compression: "none",
    signal: controller.signal,
    onProgress: () => controller.abort(),
  });
  await assert.rejects(build, { code: "interrupted" });
  assert.deepEqual(await readdir(folder), ["image"]);
  assert.equal(await readFile(path, "utf8"), "earlier");
});

test("a folder that does not exist is named", async (t) => {
  const folder = await temporaryFolder(t);
  await assert.rejects(
    buildSquashfs(planImage([directory("d")]), join(folder, "no", "image"), { compression: "none" }),
    {
      code: "data_directory",
    },
  );
});
