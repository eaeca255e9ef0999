import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";

import { type GuestTasks, serveExchange } from "./exchange.ts";
import type { Guest } from "./guest.ts";

/** What waits to be accepted. A full queue refuses, and a host takes that for a dead guest. */
const BACKLOG = 1024;

/** Serves exchanges at this Unix socket. Resolves when it listens. Errors: those of the system. */
export async function listenForHost(
  socketPath: string,
  guest: Guest,
  { fault, halted }: Pick<GuestTasks, "fault" | "halted">,
): Promise<Server> {
  const tasks: GuestTasks = {
    configure: (configuration) => guest.configure(configuration),
    run: (request, signal) => guest.run(request, signal),
    halt: () => guest.halt(),
    halted,
    fault,
  };
  const server = createServer({ allowHalfOpen: true }, (socket) => void serveExchange(socket, tasks).catch(fault));
  await rm(socketPath, { force: true });
  server.listen({ path: socketPath, backlog: BACKLOG });
  await once(server, "listening");
  return server;
}
