import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";

import { writeCpio } from "../../../../../deploy/local/backends/microvm/cpio.ts";
import { buildInitrd } from "../../../../../deploy/local/backends/microvm/initrd.ts";
import { probeMachine, programMachine } from "../../../../../deploy/local/backends/microvm/qemu.ts";
import { CodedError } from "../../../../../src/domain/errors.ts";

const kernel = { kernelPath: "/k/vmlinuz", initrdPath: "/k/initrd.gz" };
const base = { accelerator: "tcg", kernel, vcpus: 2, memoryMiB: 768 } as const;
const disks = ["/images/runtime", "/images/code, of today", "/images/model"];
const program = programMachine({ ...base, disks, guestPort: 4711, readySocket: "/run/r" });

const valuesOf = (args: readonly string[], option: string) =>
  args.flatMap((arg, at) => (arg === option ? [args[at + 1]] : []));

test("disks are attached read-only in their order, whatever their names", () => {
  assert.deepEqual(
    valuesOf(program, "-drive").map((value) => value?.replace(/,format=.*/, "")),
    ["file=/images/runtime", "file=/images/code,, of today", "file=/images/model"],
  );
  for (const drive of valuesOf(program, "-drive")) assert.match(drive ?? "", /,readonly=on\b/);
});

test("the network card reaches the two ends of the protocol and nothing else", () => {
  assert.deepEqual(valuesOf(program, "-netdev"), [
    "user,id=net,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:4711-10.0.2.15:52,guestfwd=tcp:10.0.2.100:52-chardev:ready",
  ]);
});

test("a machine that probes KVM has no disks and no network", () => {
  const probe = probeMachine({ ...base, accelerator: "kvm" }, "pinference.probe");
  assert.deepEqual([...valuesOf(probe, "-drive"), ...valuesOf(probe, "-netdev")], []);
  assert.match(valuesOf(probe, "-append")[0] ?? "", / pinference\.probe$/);
  assert.deepEqual(valuesOf(probe, "-accel"), ["kvm"]);
});

test("a kernel package without a needed module is refused by the module's name", () => {
  assert.throws(
    () => buildInitrd(Buffer.from("busybox"), new Map()),
    (error) => error instanceof CodedError && error.code === "program_failed" && /virtio_ring/.test(error.message),
  );
});

test("the initial root holds its modules in the order in which they are inserted", () => {
  const modules = new Map<string, Uint8Array>();
  const anyModule = { get: (path: string) => modules.set(path, Buffer.from(`<${path}>`)).get(path) };
  const archive = gunzipSync(buildInitrd(Buffer.from("busybox"), anyModule as unknown as typeof modules)).toString();
  const places = [...modules.values()].map((content) => archive.indexOf(String(content)));
  assert.ok(places.length >= 10 && !places.includes(-1));
  assert.deepEqual(
    places,
    places.toSorted((a, b) => a - b),
  );
});

const cpioMissing = (() => {
  try {
    execFileSync("cpio", ["--version"], { stdio: "ignore" });
    return false;
  } catch {
    return "cpio is not installed";
  }
})();

test("cpio lists what the archive holds", { skip: cpioMissing }, () => {
  const archive = writeCpio([
    { path: "bin" },
    { path: "bin/run", content: Buffer.from("12345"), isExecutable: true },
    { path: "text", content: Buffer.from("") },
  ]);
  const listing = execFileSync("cpio", ["-itv", "--numeric-uid-gid", "--quiet"], { input: archive, encoding: "utf8" });
  assert.deepEqual(
    listing
      .trim()
      .split("\n")
      .map((line) => line.split(/\s+/))
      .map((cells) => [cells[0], cells[4], cells.at(-1)]),
    [
      ["drwxr-xr-x", "0", "bin"],
      ["-rwxr-xr-x", "5", "bin/run"],
      ["-rw-r--r--", "0", "text"],
    ],
  );
});
