import assert from "node:assert/strict";
import { chmod, lstat, mkdir, readdir, readFile, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import type { Compression } from "../../../deploy/image/compress.ts";
import { extractSquashfs, isExtracted } from "../../../deploy/image/extract-squashfs.ts";
import { planImage, type ImagePlan } from "../../../deploy/image/plan.ts";
import { SquashfsReader } from "../../../deploy/image/read-squashfs.ts";
import { buildSquashfs } from "../../../deploy/image/squashfs.ts";
import { directory, file, link, noise, temporaryFolder, variedPlan } from "./support.ts";

async function built(t: TestContext, plan: ImagePlan, compression: Compression = "none") {
  const folder = await temporaryFolder(t);
  return { folder, ...(await buildSquashfs(plan, join(folder, "image"), { compression })) };
}

for (const compression of ["none", "gzip", "zstd"] as const) {
  test(`an image comes out as it went in (${compression})`, async (t) => {
    const { folder, path } = await built(t, variedPlan(), compression);
    const out = join(folder, "out");
    await extractSquashfs(path, out);
    const { entries } = variedPlan();
    const names = await readdir(out, { recursive: true });
    assert.deepEqual(names.toSorted(), entries.map((entry) => entry.path).toSorted());
    for (const { path: name, mode, content } of entries) {
      const stats = await lstat(join(out, name));
      assert.equal(stats.mode & 0o7777, mode, name);
      if (content.kind === "bytes") assert.ok((await readFile(join(out, name))).equals(content.content), name);
      if (content.kind === "symlink") assert.equal(await readlink(join(out, name)), content.target);
    }
    assert.deepEqual((await readdir(folder)).toSorted(), ["image", "out"]);
  });
}

test("directories that nobody may write to, and set-user-id bits: the first are kept, the second are not", async (t) => {
  const plan = planImage([
    { path: "locked", mode: 0o555, content: { kind: "directory" } },
    file("locked/suid", "x", 0o4755),
  ]);
  const { folder, path } = await built(t, plan);
  await extractSquashfs(path, join(folder, "out"));
  assert.equal((await lstat(join(folder, "out/locked"))).mode & 0o7777, 0o555);
  assert.equal((await lstat(join(folder, "out/locked/suid"))).mode & 0o7777, 0o755);
});

test("links that lead out are refused and nothing is left behind", async (t) => {
  const escapes = [
    [link("l", "/etc/passwd")],
    [link("l", "..")],
    [link("d/l", "../../x")],
    // Each stays inside when read as text; together they lead out.
    [link("a/b/up", ".."), link("l", "a/b/up/../..")],
  ];
  for (const entries of escapes) {
    const { folder, path } = await built(t, planImage(entries));
    await assert.rejects(extractSquashfs(path, join(folder, "out")), { code: "image_invalid" });
    assert.deepEqual(await readdir(folder), ["image"]);
  }
});

test("a folder that holds something is not replaced; an empty one is", async (t) => {
  const { folder, path } = await built(t, planImage([directory("d")]));
  const out = join(folder, "out");
  await mkdir(out);
  await extractSquashfs(path, out);
  await assert.rejects(extractSquashfs(path, out), { code: "data_directory" });
  assert.deepEqual((await readdir(folder)).toSorted(), ["image", "out"]);
});

test("an image whose files are too big together is refused before anything is written", async (t) => {
  const { folder, path } = await built(t, planImage([file("zeros", Buffer.alloc(1 << 20))]));
  await assert.rejects(extractSquashfs(path, join(folder, "out"), { maximumBytes: 1000 }), { code: "image_invalid" });
  assert.deepEqual(await readdir(folder), ["image"]);
});

test("an abort leaves nothing behind", async (t) => {
  const { folder, path } = await built(t, variedPlan());
  await assert.rejects(extractSquashfs(path, join(folder, "out"), { signal: AbortSignal.abort() }), {
    code: "interrupted",
  });
  assert.deepEqual(await readdir(folder), ["image"]);
});

/** Reads all that an image holds; resolves with the number of entries. */
async function readThrough(path: string): Promise<number> {
  const image = await SquashfsReader.open(path);
  try {
    let count = 0;
    for (const entry of image.entries()) {
      count += 1;
      if (entry.kind === "file") for await (const block of image.readFile(entry)) assert.ok(block.byteLength > 0);
    }
    return count;
  } finally {
    await image.close();
  }
}

async function damaged(path: string, change: (image: Buffer) => Buffer | void): Promise<string> {
  const image = await readFile(path);
  const damagedPath = `${path}-damaged`;
  await writeFile(damagedPath, change(image) ?? image);
  return damagedPath;
}

test("what is no squashfs 4.0 image is said to be none", async (t) => {
  const { path } = await built(t, planImage([]));
  const changes: ((image: Buffer) => Buffer | void)[] = [
    () => Buffer.alloc(0),
    (image) => image.subarray(0, 95),
    (image) => image.fill(0, 0, 4),
    (image) => void image.writeUInt16LE(3, 28),
  ];
  for (const change of changes) {
    await assert.rejects(readThrough(await damaged(path, change)), { code: "image_not_squashfs" });
  }
});

test("contradictions, huge numbers and tables outside of the image are refused", async (t) => {
  const { path } = await built(t, planImage([file("d/f", noise(1000))]));
  const plain = await readFile(path);
  const inodesAt = Number(plain.readBigUInt64LE(64));
  const listingsAt = Number(plain.readBigUInt64LE(72));
  const changes: Record<string, (image: Buffer) => Buffer | void> = {
    "truncated by one block": (image) => image.subarray(0, 1000),
    "a block size of 0": (image) => void image.writeUInt32LE(0, 12),
    "a block size of 2 GiB": (image) => void image.writeUInt32LE(2 ** 31, 12),
    "another logarithm": (image) => void image.writeUInt16LE(16, 22),
    "an unknown compressor": (image) => void (image.writeUInt16LE(4, 20), image.writeUInt16LE(0, 24)),
    fragments: (image) => void image.writeUInt32LE(1, 16),
    "no inodes": (image) => void image.writeUInt32LE(0, 4),
    "more bytes than the file": (image) => void image.writeBigUInt64LE(2n ** 40n, 40),
    "tables at the end of the address space": (image) => void image.writeBigUInt64LE(2n ** 64n - 1n, 64),
    "inodes after listings": (image) => void image.writeBigUInt64LE(BigInt(listingsAt + 1), 64),
    "a root outside of the table": (image) => void image.writeBigUInt64LE(2n ** 40n, 32),
    "a root in the middle of an inode": (image) => void image.writeBigUInt64LE(3n, 32),
    "a root that is a file": (image) => void image.writeBigUInt64LE(0n, 32),
    "ids pointing backwards": (image) => void image.writeBigUInt64LE(0n, Number(image.readBigUInt64LE(48))),
    "an inode of an unknown type": (image) => void image.writeUInt16LE(77, inodesAt + 2),
    "data before the superblock": (image) => void image.writeUInt32LE(1, inodesAt + 2 + 16),
    "data beyond the tables": (image) => void image.writeUInt32LE(0x7fff_ffff, inodesAt + 2 + 16),
    "a file of 4 GiB with one block": (image) => void image.writeUInt32LE(0xffff_ffff, inodesAt + 2 + 28),
    "a block bigger than blocks are": (image) => void image.writeUInt32LE(0x00ff_ffff, inodesAt + 2 + 32),
    "a metadata block of no bytes": (image) => void image.writeUInt16LE(0x8000, inodesAt),
    "a metadata block that is cut off": (image) => void image.writeUInt16LE(0x8000 | 8000, inodesAt),
    "a name with a slash": (image) => void image.write("/", listingsAt + 2 + 12 + 8),
    "a name that is not UTF-8": (image) => void image.writeUInt8(0xff, listingsAt + 2 + 12 + 8),
    "a name of one dot": (image) => void image.write(".", listingsAt + 2 + 12 + 8),
    "a listing with 4 billion entries": (image) => void image.writeUInt32LE(0xffff_ffff, listingsAt + 2),
    "an entry in no inode block": (image) => void image.writeUInt32LE(0x1234, listingsAt + 2 + 4),
  };
  for (const [what, change] of Object.entries(changes)) {
    await assert.rejects(readThrough(await damaged(path, change)), { code: "image_invalid" }, what);
  }
});

test("a directory that contains itself is refused", async (t) => {
  // The inode of "f" lies first, then that of "d"; the listing of "d" has one entry, made to point at "d" itself.
  const { path } = await built(t, planImage([file("d/f", "x")]));
  const loop = await damaged(path, (image) => {
    const listingsAt = Number(image.readBigUInt64LE(72));
    image.writeUInt16LE(36, listingsAt + 2 + 12);
  });
  await assert.rejects(readThrough(loop), { code: "image_invalid" });
});

for (const compression of ["gzip", "zstd"] as const) {
  test(`no single damaged byte makes the reader do anything but read or refuse (${compression})`, async (t) => {
    const plan = planImage([file("a/b", "abc".repeat(20)), link("l", "a"), directory("e")]);
    const { path, bytes } = await built(t, plan, compression);
    for (let at = 0; at < Math.min(bytes, 400); at += 1) {
      for (const value of [0x00, 0x7f, 0xff]) {
        const changed = await damaged(path, (image) => void image.writeUInt8(value, at));
        await readThrough(changed).catch((error: Error & { code?: string }) => {
          assert.match(error.code ?? error.message, /^image_(?:invalid|not_squashfs)$/, `byte ${at} set to ${value}`);
        });
      }
    }
  });
}

test("what was changed after it was extracted is noticed, whatever it was", async (t) => {
  const plan = planImage([file("a/b.js", "let a = 1"), file("c", ""), directory("empty"), link("l", "a/b.js")]);
  const { folder, path } = await built(t, plan, "gzip");
  const changes: Record<string, (out: string) => Promise<unknown>> = {
    "same size": (out) => writeFile(join(out, "a/b.js"), "let a = 2"),
    "cut off": (out) => writeFile(join(out, "a/b.js"), ""),
    missing: (out) => rm(join(out, "c")),
    added: (out) => writeFile(join(out, "empty/new.js"), ""),
    "another link": async (out) => {
      await rm(join(out, "l"));
      await symlink("c", join(out, "l"));
    },
    "a directory in place of a file": async (out) => {
      await rm(join(out, "c"));
      await mkdir(join(out, "c"));
    },
  };
  for (const [what, change] of Object.entries(changes)) {
    const out = join(folder, what);
    assert.equal(await isExtracted(path, out), false, "nothing is there");
    await extractSquashfs(path, out);
    await chmod(join(out, "c"), 0o600);
    assert.equal(await isExtracted(path, out), true, "permissions are not looked at");
    await change(out);
    assert.equal(await isExtracted(path, out), false, what);
  }
});
