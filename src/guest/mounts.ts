import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join, posix } from "node:path";
import { promisify } from "node:util";

import { CodedError } from "../domain/errors.ts";
import type { ConfiguredVolume } from "./protocol.ts";

const run = promisify(execFile);

/** A volume of the configuration, its names checked and resolved. */
export interface GuestVolume {
  readonly mount: string;
  readonly device: string;
  /** The block device; on a machine without one, the image's file. */
  readonly devicePath: string;
  /** The directory with its files. */
  readonly directory: string;
  readonly readOnly: boolean;
}

/** Errors: `program_failed` for names that are no mount point or no device. */
export function planMounts(volumes: readonly ConfiguredVolume[], root: string, devices: string): GuestVolume[] {
  return volumes.map(({ mount, device, readOnly }) => {
    const isPlain = mount.startsWith("/") && posix.normalize(mount) === mount && !/\/$|\0/.test(mount);
    if (!isPlain) throw new CodedError("program_failed", `"${mount}" is not a mount point`);
    if (!/^[a-z]{1,4}\d{0,3}$/.test(device)) throw new CodedError("program_failed", `"${device}" is not a device`);
    return { mount, device, devicePath: join(devices, device), directory: join(root, mount), readOnly };
  });
}

/** Mounts them by the system's `mount`. Errors: `program_failed` with device, mount point and reason. */
export async function mountAll(volumes: readonly GuestVolume[]): Promise<void> {
  // One after the other: a mount point may lie in the volume before.
  for (const { devicePath, directory, mount, readOnly } of volumes) {
    const how = readOnly ? ["-t", "squashfs", "-o", "ro"] : ["-t", "ext4"];
    try {
      await mkdir(directory, { recursive: true });
      await run("mount", [...how, devicePath, directory], { timeout: 30_000 });
    } catch (error) {
      const reason = (error as { stderr?: string }).stderr?.trim() || (error as Error).message;
      const message = `cannot mount ${devicePath} on ${mount}: ${reason}`;
      throw new CodedError("program_failed", message, { cause: error });
    }
  }
}
