import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import { planImage } from "../../../deploy/image/plan.ts";
import { buildSquashfs } from "../../../deploy/image/squashfs.ts";
import { cannotMount, file, noise, temporaryFolder } from "./support.ts";

test("a full disk is named and leaves nothing behind", { skip: cannotMount() }, async (t) => {
  const folder = await temporaryFolder(t);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], { stdio: "pipe" });
  } catch (error) {
    t.skip(`no small file system can be mounted: ${String((error as { stderr?: Buffer }).stderr).trim()}`);
    return;
  }
  try {
    const plan = planImage([file("f", noise(9 << 20))]);
    for (const compression of ["none", "gzip"] as const) {
      await assert.rejects(buildSquashfs(plan, join(folder, "image"), { compression }), { code: "disk_full" });
      assert.deepEqual(await readdir(folder), []);
    }
  } finally {
    execFileSync("umount", [folder]);
  }
});
