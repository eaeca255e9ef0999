import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { planImage } from "../../../deploy/image/plan.ts";
import { buildSquashfs } from "../../../deploy/image/squashfs.ts";
import { mountAll, planMounts } from "../../../src/guest/mounts.ts";
import { scratchDirectory } from "../../support/scratch.ts";

const volume = (mount: string, device = "vdb") => ({ mount, device, readOnly: true });

test("volumes get their device's path and their directory below the root", () => {
  assert.deepEqual(
    planMounts([volume("/opt/code"), { ...volume("/data", "vdaa"), readOnly: false }], "/root", "/dev"),
    [
      { mount: "/opt/code", device: "vdb", devicePath: "/dev/vdb", directory: "/root/opt/code", readOnly: true },
      { mount: "/data", device: "vdaa", devicePath: "/dev/vdaa", directory: "/root/data", readOnly: false },
    ],
  );
});

test("a mount point outside of the root, or with another spelling, is refused by name", () => {
  for (const mount of ["", "/", "opt/code", "/opt/../etc", "/opt//code", "/opt/code/", "/a\0b", "/./a", ".."]) {
    const expected = { code: "program_failed", message: `"${mount}" is not a mount point` };
    assert.throws(() => planMounts([volume(mount)], "/", "/dev"), expected, JSON.stringify(mount));
  }
});

test("a device that is a path, an option or nothing is refused by name", () => {
  for (const device of ["", "../vdb", "/dev/vdb", "-o", "vdb ", "VDB", "vdb\n", "loop1234", "vdbcd"]) {
    const expected = { code: "program_failed", message: `"${device}" is not a device` };
    assert.throws(() => planMounts([volume("/data", device)], "/", "/dev"), expected, JSON.stringify(device));
  }
});

test("what cannot be mounted is told with device, mount point and the system's reason", async () => {
  const root = scratchDirectory();
  mkdirSync(join(root, "dev"));
  const [missing] = planMounts([volume("/opt/code")], root, join(root, "dev"));
  assert.ok(missing !== undefined);
  await assert.rejects(mountAll([missing]), (error: Error & { code?: string }) => {
    assert.equal(error.code, "program_failed");
    assert.ok(error.message.startsWith(`cannot mount ${missing.devicePath} on /opt/code: `), error.message);
    assert.ok(error.message.length > `cannot mount ${missing.devicePath} on /opt/code: `.length);
    return true;
  });
});

test("a volume is mounted, read-only, and one inside of it after it", { skip: cannotMount() }, async () => {
  const root = scratchDirectory();
  mkdirSync(join(root, "dev"));
  const text = (content: string) => ({ kind: "bytes", content: Buffer.from(content) }) as const;
  const outer = planImage([
    { path: "file", mode: 0o644, content: text("outer") },
    { path: "inner", mode: 0o755, content: { kind: "directory" } },
  ]);
  const inner = planImage([{ path: "file", mode: 0o644, content: text("inner") }]);
  await buildSquashfs(outer, join(root, "dev", "vdb"), { compression: "none" });
  await buildSquashfs(inner, join(root, "dev", "vdc"), { compression: "none" });
  const volumes = planMounts([volume("/data"), volume("/data/inner", "vdc")], root, join(root, "dev"));
  try {
    await mountAll(volumes);
    assert.equal(readFileSync(join(root, "data/file"), "utf8"), "outer");
    assert.equal(readFileSync(join(root, "data/inner/file"), "utf8"), "inner");
    assert.throws(() => writeFileSync(join(root, "data/file"), "changed"), { code: "EROFS" });
  } finally {
    for (const { directory } of volumes.toReversed()) execFileSync("umount", [directory]);
  }
});

/** Whether this machine mounts an image that lies in a file, as root. */
function cannotMount(): string | false {
  if (process.platform !== "linux") return "needs Linux";
  if (process.getuid?.() !== 0) return "needs the right to mount";
  if (!/\bsquashfs\b/.test(readFileSync("/proc/filesystems", "utf8"))) return "this kernel has no squashfs";
  try {
    execFileSync("losetup", ["--find"], { stdio: "ignore" });
    return false;
  } catch {
    return "this machine has no loop device";
  }
}
