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
 *   PINFERENCE_GUEST_ENDS_WITH_SERVER=0  1: when the server ends, so does this, in the same way
 *   PINFERENCE_GUEST_STOP_MS=3000      time for the server to end, before it is killed
 *   PINFERENCE_THREADS, PINFERENCE_MEMORY_MIB  what the server may use, where that is less than all there is
 *   PINFERENCE_EXIT_WITH_PARENT=0      1: ends when standard input does
 *
 * It has no shell, reads no console and may be started with descriptors 0 to 2 closed: Node.js opens /dev/null on them.
 * It reaps its own children. Orphans go to process 1: that must be whoever started this, and wait for any child, since
 * Node.js cannot. After `halt` this ends with status 0, and process 1 should restart the machine.
 */
import { rm } from "node:fs/promises";
import { createServer } from "node:net";

import { announceReady } from "./announce.ts";
import { serveExchange } from "./exchange.ts";
import { Guest } from "./guest.ts";
import { createGuestLog } from "./log.ts";
import type { ServerEnd } from "./server-process.ts";
import { readGuestSettings } from "./settings.ts";

/** What waits to be accepted. A full queue refuses, and a host takes that for a dead guest. */
const BACKLOG = 1024;

const log = createGuestLog(process.stdout);
const settings = readGuestSettings(process.env);
const guest = new Guest({ settings, log, serverEnded: endLike, volumeDamaged: ({ message }) => fail(message) });

const tasks = {
  configure: guest.configure.bind(guest),
  run: guest.run.bind(guest),
  halt: guest.halt.bind(guest),
  halted: () => process.exit(0),
  fault: (error: unknown) => log("fault", { reason: error instanceof Error ? error.stack : String(error) }),
};

// Whatever goes wrong with one exchange, the guest answers the next.
process.on("uncaughtException", tasks.fault);

const server = createServer({ allowHalfOpen: true }, (socket) => void serveExchange(socket, tasks).catch(tasks.fault));
await rm(settings.guestSocket, { force: true });
server.once("error", ({ message }) => fail(`cannot listen on ${settings.guestSocket}: ${message}`));
server.listen({ path: settings.guestSocket, backlog: BACKLOG }, () => {
  void announceReady(settings.hostSocket).then((wasTold) => log(wasTold ? "ready" : "host_not_found"));
});

for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void end());
if (settings.exitWithParent) process.stdin.resume().once("end", () => void end());

async function end(): Promise<void> {
  await guest.halt();
  process.exit(0);
}

function fail(message: string): void {
  log("failed", { reason: message });
  process.exit(1);
}

/** Whoever waits for this process sees what became of the server. */
function endLike({ status, signal }: ServerEnd): void {
  if (signal === null) process.exit(status ?? 1);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}
