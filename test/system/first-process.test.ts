/** /sbin/init of the runtime, really as process 1, with the runtime's own busybox. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { readRuntimeLock } from "../../deploy/image/runtime-lock.ts";
import { fetchDebianPackages } from "../../deploy/packages/fetch-debian.ts";
import { PackageCache } from "../../deploy/packages/package-cache.ts";
import { unpackDeb } from "../../deploy/packages/unpack.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { cannotBuildRuntime, VM_PACKAGES } from "../support/vm-packages.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));

/** Without the right to restart a machine, whatever happens. */
const AS_FIRST_PROCESS = ["--bounding-set", "-sys_boot", "--", "unshare", "--pid", "--fork", "--mount", "--net"];

function cannotRun(): string | false {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "needs root on Linux";
  const { status } = spawnSync("setpriv", [...AS_FIRST_PROCESS, "true"], { stdio: "ignore" });
  if (status !== 0) return "needs the right to make a process namespace (setpriv, unshare)";
  if (spawnSync("apt-cache", ["show", "busybox-static"], { stdio: "ignore" }).status !== 0) {
    return cannotBuildRuntime() || "apt has no list of packages: apt-get update";
  }
  return false;
}

/**
 * Stands in for Node.js. The first time, it leaves three orphans, waits until they have ended, writes what became of
 * them, and fails; the second time it ends as after a halt.
 */
const NODE = `#!/bin/sh
[ -e /report/orphans ] && { echo "$@" >/report/again; exit 0; }
for orphan in 1 2 3; do (busybox sleep 1 & echo $! >>/report/orphans); done
busybox sleep 0.3
for pid in $(busybox cat /report/orphans); do busybox cat /proc/$pid/stat >>/report/living; done
busybox sleep 1.5
busybox cat /proc/[0-9]*/stat >/report/left
exit 1
`;

/** State and parent of each, by its number. Source: Linux, proc(5), /proc/pid/stat. */
function processes(stat: string): Map<string, { state: string; parent: string }> {
  const rows = [...stat.matchAll(/^(\d+) \(.*\) (\S) (\d+) /gm)];
  return new Map(rows.map(([, pid = "", state = "", parent = ""]) => [pid, { state, parent }]));
}

test(
  "the first process takes the orphans, waits for them, and starts the guest init again",
  {
    skip: cannotRun(),
  },
  async () => {
    const machine = join(scratchDirectory(), "machine");
    for (const folder of ["bin", "usr/bin", "sbin", "dev", "proc", "sys", "run", "tmp", "models", "report"]) {
      mkdirSync(join(machine, folder), { recursive: true });
    }
    const lock = await readRuntimeLock(root);
    const wanted = lock.debian.filter(({ name }) => name === "busybox-static");
    const [deb] = await fetchDebianPackages(wanted, new PackageCache(VM_PACKAGES));
    writeFileSync(join(machine, "bin/busybox"), (await unpackDeb(deb as Buffer)).get("bin/busybox") as Uint8Array);
    symlinkSync("busybox", join(machine, "bin/sh"));
    cpSync(join(root, "deploy/image/rootfs/sbin/init"), join(machine, "sbin/init"));
    writeFileSync(join(machine, "usr/bin/node"), NODE);
    for (const program of ["bin/busybox", "sbin/init", "usr/bin/node"]) chmodSync(join(machine, program), 0o755);

    const { signal } = spawnSync("setpriv", [...AS_FIRST_PROCESS, `--root=${machine}`, "/sbin/init"], {
      stdio: "ignore",
      timeout: 60_000,
      killSignal: "SIGKILL",
    });
    assert.equal(signal, null, "it came to its end");

    const report = (name: string) => readFileSync(join(machine, "report", name), "utf8");
    const orphans = report("orphans").trim().split("\n");
    assert.equal(orphans.length, 3);
    const living = processes(report("living"));
    assert.deepEqual(
      orphans.map((pid) => living.get(pid)?.parent),
      ["1", "1", "1"],
      "they were orphans while they lived",
    );
    const left = processes(report("left"));
    assert.ok(left.has("1"));
    assert.deepEqual(
      [...left].filter(([pid, { state }]) => state === "Z" || orphans.includes(pid)),
      [],
      "none is left, dead or alive",
    );
    assert.equal(report("again"), "/usr/lib/pinference/init.cjs\n");
  },
);
