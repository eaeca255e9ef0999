import { spawn } from "node:child_process";
import { access, constants } from "node:fs/promises";

import { PROBE, PROBE_ANSWER } from "./initrd.ts";
import { type Accelerator, type Kernel, probeMachine } from "./qemu.ts";

/** A kernel under a KVM that works says its first word within a second or two. */
const PROBE_MS = 10_000;

/**
 * KVM where a kernel really runs under it: on some machines /dev/kvm is there and kernels hang. Otherwise emulation.
 */
export async function findAccelerator(qemu: string, kernel: Kernel, signal: AbortSignal): Promise<Accelerator> {
  const isThere = await access("/dev/kvm", constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
  return isThere && (await runsUnderKvm(qemu, kernel, signal)) ? "kvm" : "tcg";
}

async function runsUnderKvm(qemu: string, kernel: Kernel, signal: AbortSignal): Promise<boolean> {
  const machine = probeMachine({ accelerator: "kvm", kernel, vcpus: 1, memoryMiB: 256 }, PROBE);
  return new Promise((resolve) => {
    const child = spawn(qemu, machine, {
      stdio: ["ignore", "pipe", "ignore"],
      timeout: PROBE_MS,
      killSignal: "SIGKILL",
    });
    const stop = (): void => void child.kill("SIGKILL");
    signal.addEventListener("abort", stop, { once: true });
    let said = "";
    child.stdout.on("data", (chunk: Buffer) => {
      said += chunk.toString("latin1");
      if (said.includes(PROBE_ANSWER)) stop();
    });
    child.once("error", () => resolve(false));
    child.once("close", () => {
      signal.removeEventListener("abort", stop);
      resolve(said.includes(PROBE_ANSWER));
    });
  });
}
