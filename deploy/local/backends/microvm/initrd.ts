/**
 * What a distribution's kernel needs before it can use our root: it has the drivers of disks and of squashfs as
 * modules. A CRN's kernel has them built in and gets no such thing.
 */
import { gzipSync } from "node:zlib";

import { CodedError } from "../../../../src/domain/errors.ts";
import { writeCpio } from "./cpio.ts";

/** In the order in which they depend on each other. */
const MODULES = [
  "drivers/virtio/virtio_ring",
  "drivers/virtio/virtio_pci_modern_dev",
  "drivers/virtio/virtio_pci_legacy_dev",
  "drivers/virtio/virtio",
  "drivers/virtio/virtio_pci",
  "drivers/block/virtio_blk",
  "fs/squashfs/squashfs",
  "net/core/failover",
  "drivers/net/net_failover",
  "drivers/net/virtio_net",
];

/** What the kernel's command line says to boot no further than here. */
export const PROBE = "pinference.probe";
/** What is printed then. */
export const PROBE_ANSWER = "pinference: the kernel runs";

const INIT = `#!/bin/busybox sh
B=/bin/busybox
$B mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
$B mount -t proc proc /proc
read -r line </proc/cmdline
case " $line " in
  *" ${PROBE} "*) echo "${PROBE_ANSWER}"; $B reboot -f ;;
esac
$B umount /proc
for module in /modules/*; do $B insmod $module; done
while ! [ -b /dev/vda ]; do $B usleep 5000; done
$B mount -t squashfs -o ro /dev/vda /root
$B mount -o move /dev /root/dev
exec $B switch_root /root /sbin/init
`;

/** Two equal ones make the same of the same inputs. */
export const INITRD_RECIPE = [INIT, ...MODULES].join("\n");

/**
 * `busybox` is the static program, `modules` the kernel's modules by their path below `kernel/`, without ".ko".
 * Errors: `program_failed` when the kernel lacks a module.
 */
export function buildInitrd(busybox: Uint8Array, modules: ReadonlyMap<string, Uint8Array>): Buffer {
  const files = MODULES.map((path, at) => {
    const content = modules.get(path);
    if (content === undefined) throw new CodedError("program_failed", `the kernel package has no module ${path}`);
    return { path: `modules/${String(at).padStart(2, "0")}.ko`, content };
  });
  const archive = writeCpio([
    ...["bin", "dev", "modules", "proc", "root"].map((path) => ({ path })),
    { path: "bin/busybox", content: busybox, isExecutable: true },
    { path: "init", content: Buffer.from(INIT), isExecutable: true },
    ...files,
  ]);
  return gzipSync(archive, { level: 1 });
}
