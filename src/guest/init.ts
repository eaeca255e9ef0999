/**
 * The guest init: the process between a program's host and its server. It says that it listens, is configured, starts
 * the server, and answers what the host asks. It needs Node.js and, where it has to mount, the command `mount`.
 *
 * How it meets its outside: two Unix sockets, so that whatever carries bytes can stand between it and the host.
 *
 *   PINFERENCE_GUEST_SOCKET   it listens here; the outside connects once for each exchange
 *   PINFERENCE_HOST_SOCKET    it connects here once, to send the ready message
 *
 *   in a VM with vsock:  socat VSOCK-LISTEN:52,fork,backlog=512 UNIX-CONNECT:/run/guest.sock
 *                        socat UNIX-LISTEN:/run/host.sock,fork VSOCK-CONNECT:2:52
 *   as a child of the local node: the node connects to the one and listens on the other itself
 *
 * The rest has defaults that suit a VM:
 *
 *   PINFERENCE_GUEST_DEVICES=/dev      where the configuration's devices are (`vdb`: a block device, or an image's file)
 *   PINFERENCE_GUEST_ROOT=/            what mount points are below
 *   PINFERENCE_GUEST_MOUNTED=0         1: the volumes stand at their mount points already
 *   PINFERENCE_GUEST_STOP_MS=3000      time for the server to end, before it is killed
 *   PINFERENCE_GUEST_PATIENCE_MS=25000  time that a request waits for the server, before it is answered with 503
 *   PINFERENCE_THREADS, PINFERENCE_MEMORY_MIB  what the server may use, where that is less than all there is
 *   PINFERENCE_EXIT_WITH_PARENT=0      1: ends when standard input does
 *
 * It has no shell, reads no console and may be started with descriptors 0 to 2 closed: Node.js opens /dev/null on them.
 * It reaps its own children. Orphans go to process 1: that must be whoever started this, and wait for any child, since
 * Node.js cannot. After `halt` this ends with status 0, and process 1 should restart the machine.
 */
import { uptime } from "node:os";

import { announceReady } from "./announce.ts";
import { Guest } from "./guest.ts";
import { listenForHost } from "./listen-for-host.ts";
import { createGuestLog } from "./log.ts";
import { readInitSettings } from "./settings.ts";

const log = createGuestLog(process.stdout);
// Whatever goes wrong with one exchange, the guest answers the next.
process.on("uncaughtException", fault);

const settings = readSettings();
const guest = new Guest({ settings, log });
// Nothing is awaited at the top level: in the runtime this is one CommonJS file.
listenForHost(settings.guestSocket, guest, { fault, halted: () => process.exit(0) })
  .then(() => announceReady(settings.hostSocket))
  .then((wasTold) => log(wasTold ? "ready" : "host_not_found", sinceStart()))
  .catch(fail);

for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void end());
if (settings.exitWithParent) process.stdin.resume().once("end", () => void end());

async function end(): Promise<void> {
  await guest.halt();
  process.exit(0);
}

/** Milliseconds since the kernel's start, where the machine is the guest's own, and since that of this process. */
function sinceStart() {
  return { kernelMs: Math.round(uptime() * 1000), processMs: Math.round(performance.now()) };
}

function readSettings() {
  try {
    return readInitSettings(process.env);
  } catch (error) {
    return fail(error);
  }
}

function fault(error: unknown): void {
  log("fault", { reason: error instanceof Error ? error.stack : String(error) });
}

function fail(error: unknown): never {
  log("failed", { reason: error instanceof Error ? error.message : String(error) });
  process.exit(1);
}
