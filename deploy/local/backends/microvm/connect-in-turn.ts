import { createConnection } from "node:net";

import type { Connect } from "../../guest-connection.ts";

/**
 * Connections to a port that QEMU forwards to its guest, opened one after the other in the order of the calls. QEMU
 * listens there with a queue of one: of many that come at once, the system drops most for so long that they fail. One
 * that is dropped alone is taken at the system's next try.
 */
export function connectInTurn(port: number): Connect {
  let turn: Promise<unknown> = Promise.resolve();
  return () => {
    const before = turn;
    const socket = createConnection({
      port,
      noDelay: true,
      // The address is known; to look it up is where a connection can wait, and take what is written meanwhile.
      host: "localhost",
      family: 4,
      lookup: (_host, _options, found) => void before.then(() => found(null, "127.0.0.1", 4)),
    });
    const opened = new Promise<void>((resolve) => {
      socket.once("connect", resolve).once("close", () => resolve());
    });
    turn = before.then(() => opened);
    return socket;
  };
}
