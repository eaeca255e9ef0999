/** An app behind what stands before it in the network: supervisor's rules, guest protocol, guest's translation. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer as createHttpServer, type RequestListener } from "node:http";
import { createConnection, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { exchangeWhole } from "../../deploy/local/as-network.ts";
import type { Lease } from "../../deploy/local/program-pool.ts";
import { Refusal, sendRefusal, unexpected } from "../../deploy/local/refusals.ts";
import { askServer } from "../../src/guest/ask-server.ts";
import { type GuestTasks, serveExchange } from "../../src/guest/exchange.ts";

/** Set to "network", and tests of the app reach it that way. */
const THROUGH = "PINFERENCE_TEST_THROUGH";

export function isThroughNetwork(): boolean {
  return process.env[THROUGH] === "network";
}

/** Why a test that looks at a stream on its way, or leaves it, cannot hold there. */
export const skipWithoutStreams =
  isThroughNetwork() && "a host sends whole answers, and waits for them without its client";

/** Answers as a CRN would with this app in a machine. What it needs ends with the process. */
export function throughNetwork(app: RequestListener): RequestListener {
  const lease = serve(app);
  return (request, response) => {
    lease
      .then((found) => exchangeWhole({ request, response, target: request.url ?? "/", lease: found }))
      .catch((error: unknown) => sendRefusal(response, error instanceof Refusal ? error : unexpected(error), true));
  };
}

async function serve(app: RequestListener): Promise<Lease> {
  const directory = mkdtempSync(join(tmpdir(), "pinference-network-"));
  process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
  const [serverSocket, guestSocket] = [join(directory, "server"), join(directory, "guest")];
  const tasks: GuestTasks = {
    configure: () => Promise.resolve({ success: false, error: "it is configured" }),
    run: (request, signal) => askServer(serverSocket, request, signal),
    halt: () => Promise.resolve(),
    halted: () => undefined,
    fault: (error) => process.emitWarning(error as Error),
  };
  const server = createHttpServer(app).listen(serverSocket).unref();
  const guest = createServer({ allowHalfOpen: true }, (socket) => void serveExchange(socket, tasks)).unref();
  guest.listen(guestSocket);
  await Promise.all([server.listening || once(server, "listening"), once(guest, "listening")]);
  const never = new Promise<string>(() => undefined);
  const running = { connect: () => createConnection(guestSocket), http: undefined, exited: never };
  const files = { itemHash: "a".repeat(64), resources: { seconds: 290 } };
  const resolved = { files, codeRef: "b".repeat(64) };
  // Of a lease, what an exchange looks at.
  return { resolved, running, retire: () => undefined, release: () => undefined } as unknown as Lease;
}
