/** The judges that do not share our code: unsquashfs, and the kernel. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { lstat, mkdir, readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import type { Compression } from "../../../deploy/image/compress.ts";
import { planImage, type ImagePlan } from "../../../deploy/image/plan.ts";
import { buildSquashfs } from "../../../deploy/image/squashfs.ts";
import { cannotMount, file, missingTool, temporaryFolder, variedPlan } from "./support.ts";

const COMPRESSIONS = ["none", "gzip", "zstd"] as const;
const noUnsquashfs = missingTool("unsquashfs");

/** Small files, deep and wide: more than one metadata block, listing header and, for gzip, compressed table. */
function wideBranches(): ImagePlan {
  return planImage(
    Array.from({ length: 3000 }, (_, index) => file(`d${index % 7}/e${index % 3}/name-${index}`, `${index}`)),
  );
}
function manyFiles(): ImagePlan {
  return planImage(Array.from({ length: 10_000 }, (_, index) => file(`many/file-${index}`, `${index}`)));
}

async function assertSameTree(plan: ImagePlan, root: string): Promise<void> {
  const names = await readdir(root, { recursive: true });
  assert.deepEqual(names.toSorted(), plan.entries.map(({ path }) => path).toSorted());
  for (const { path, mode, content } of plan.entries) {
    const found = join(root, path);
    const stats = await lstat(found);
    assert.equal(stats.mode & 0o7777, mode, path);
    assert.equal(stats.mtimeMs, 0, path);
    if (content.kind === "symlink") assert.equal(await readlink(found), content.target);
    if (content.kind === "bytes") assert.ok((await readFile(found)).equals(content.content), path);
    assert.equal(stats.isDirectory(), content.kind === "directory", path);
  }
}

async function build(t: TestContext, plan: ImagePlan, compression: Compression): Promise<[string, string]> {
  const folder = await temporaryFolder(t);
  const { path } = await buildSquashfs(plan, join(folder, "image"), { compression });
  return [folder, path];
}

for (const compression of COMPRESSIONS) {
  for (const [what, plan] of [
    ["the varied tree", variedPlan],
    ["many branches", wideBranches],
    ...(compression === "gzip" ? [["10,000 files in one directory", manyFiles] as const] : []),
    ["an image with nothing in it", () => planImage([])],
  ] as const) {
    test(`unsquashfs extracts ${what} as planned (${compression})`, { skip: noUnsquashfs }, async (t) => {
      const [folder, image] = await build(t, plan(), compression);
      execFileSync("unsquashfs", ["-no-progress", "-quiet", "-strict-errors", "-d", join(folder, "out"), image], {
        stdio: ["ignore", "ignore", "pipe"],
      });
      await assertSameTree(plan(), join(folder, "out"));
    });

    test(`the kernel mounts ${what} as planned (${compression})`, { skip: cannotMount() }, async (t) => {
      const [folder, image] = await build(t, plan(), compression);
      const mountPoint = join(folder, "mount");
      await mkdir(mountPoint);
      try {
        execFileSync("mount", ["-t", "squashfs", "-o", "loop,ro", image, mountPoint], { stdio: "pipe" });
      } catch (error) {
        t.skip(`this machine does not mount images: ${String((error as { stderr?: Buffer }).stderr).trim()}`);
        return;
      }
      try {
        await assertSameTree(plan(), mountPoint);
      } finally {
        execFileSync("umount", [mountPoint]);
      }
    });
  }
}

test("unsquashfs lists owner 0, time 0 and the planned modes", { skip: noUnsquashfs }, async (t) => {
  const plan = planImage([file("a/run", "x", 0o755), file("a/text", "12345")]);
  const [, image] = await build(t, plan, "gzip");
  const listing = execFileSync("unsquashfs", ["-lln", image], { encoding: "utf8", env: { ...process.env, TZ: "UTC" } });
  const lines = listing.split("\n").filter((line) => line.includes("squashfs-root"));
  assert.deepEqual(
    lines.map((line) => line.split(/\s+/)),
    [
      ["drwxr-xr-x", "0/0", "24", "1970-01-01", "00:00", "squashfs-root"],
      ["drwxr-xr-x", "0/0", "38", "1970-01-01", "00:00", "squashfs-root/a"],
      ["-rwxr-xr-x", "0/0", "1", "1970-01-01", "00:00", "squashfs-root/a/run"],
      ["-rw-r--r--", "0/0", "5", "1970-01-01", "00:00", "squashfs-root/a/text"],
    ],
  );
});
