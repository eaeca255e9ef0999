import { Guest } from "../../../src/guest/guest.ts";
import { listenForHost } from "../../../src/guest/listen-for-host.ts";
import { createGuestLog } from "../../../src/guest/log.ts";
import { PATIENCE_MS } from "../../../src/guest/settings.ts";
import type { GuestStart, StartedGuest } from "./guest-process.ts";

/**
 * Runs the guest inside this process, for the default mode: a process of its own would make every start longer by that
 * of a Node.js. It is reached by the same socket. Its server is a process as ever, and the guest ends with it.
 */
export async function startGuestWithin({ program, directory, log, graceMs }: GuestStart): Promise<StartedGuest> {
  const { vcpus, memoryMiB } = program.resources;
  const guestLog = createGuestLog({ write: (line) => log.write(Buffer.from(line)) });
  let end: ((how: string) => void) | undefined;
  const exited = new Promise<string>((resolve) => (end = resolve));
  const guest = new Guest({
    settings: {
      devices: directory.devices,
      root: directory.root,
      areMounted: true,
      threads: vcpus,
      memoryMiB,
      stopMs: graceMs,
      patienceMs: PATIENCE_MS,
    },
    log: guestLog,
    output: (chunk) => log.write(chunk),
    onEnd: (how) => end?.(how),
  });
  const fault = (error: unknown): void => guestLog("fault", { reason: String(error) });
  const server = await listenForHost(directory.guestSocket, guest, { fault, halted: () => end?.("was stopped") });

  async function stop(): Promise<void> {
    await guest.halt();
    end?.("was stopped");
  }
  const cleanUp = async (): Promise<void> => {
    await exited;
    await guest.halt();
    server.close();
  };
  return { ready: Promise.resolve(), exited, gone: cleanUp(), stop };
}
