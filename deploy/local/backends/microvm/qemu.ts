/** How QEMU is called. Pure. */

export type Accelerator = "kvm" | "tcg";

export interface Kernel {
  readonly kernelPath: string;
  readonly initrdPath: string;
}

export interface MachineOptions {
  readonly accelerator: Accelerator;
  readonly kernel: Kernel;
  readonly vcpus: number;
  readonly memoryMiB: number;
}

/** The guest's end of each bridge: see deploy/image/rootfs/sbin/init. */
const GUEST_ADDRESS = "10.0.2.15";
const HOST_ADDRESS = "10.0.2.100";
const PROTOCOL_PORT = 52;

/**
 * A machine that prints to standard output and ends instead of starting again. `disks` become /dev/vda, /dev/vdb…, all
 * read-only. Its network card reaches nothing but this: connections to `guestPort` of this machine's loopback arrive
 * at the guest's port 52, and the guest's connection to its host's port 52 arrives at the Unix socket `readySocket`.
 */
export function programMachine(
  options: MachineOptions & {
    readonly disks: readonly string[];
    readonly guestPort: number;
    readonly readySocket: string;
  },
): string[] {
  const { disks, guestPort, readySocket } = options;
  const forwards = [
    `hostfwd=tcp:127.0.0.1:${guestPort}-${GUEST_ADDRESS}:${PROTOCOL_PORT}`,
    `guestfwd=tcp:${HOST_ADDRESS}:${PROTOCOL_PORT}-chardev:ready`,
  ];
  return [
    ...baseMachine(options, "pinference.transport=tcp"),
    ...disks.flatMap((path) => ["-drive", `file=${escaped(path)},format=raw,if=virtio,readonly=on,cache=unsafe`]),
    "-chardev",
    `socket,id=ready,path=${escaped(readySocket)}`,
    "-netdev",
    `user,id=net,restrict=on,ipv6=off,${forwards.join(",")}`,
    "-device",
    "virtio-net-pci,netdev=net,romfile=",
  ];
}

/** A machine that shows whether the accelerator works. */
export function probeMachine(options: MachineOptions, probe: string): string[] {
  return baseMachine(options, probe);
}

// Of a CRN's command line, what matters to the guest. See aleph-vm, hypervisors/firecracker/config.py.
const COMMAND_LINE = "console=ttyS0 reboot=k panic=1 random.trust_cpu=on ro quiet";

function baseMachine({ accelerator, kernel, vcpus, memoryMiB }: MachineOptions, more: string): string[] {
  const isKvm = accelerator === "kvm";
  const what = ["-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-serial", "stdio"];
  const machine = ["-machine", "q35", "-accel", isKvm ? "kvm" : "tcg,thread=multi", "-cpu", isKvm ? "host" : "max"];
  const size = ["-smp", String(vcpus), "-m", String(memoryMiB)];
  const boot = ["-kernel", kernel.kernelPath, "-initrd", kernel.initrdPath, "-append", `${COMMAND_LINE} ${more}`];
  const limits = ["-no-reboot", "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"];
  return [...what, ...machine, ...size, ...boot, ...limits];
}

/** A comma ends a value in QEMU's options; a doubled one does not. */
function escaped(path: string): string {
  return path.replaceAll(",", ",,");
}
