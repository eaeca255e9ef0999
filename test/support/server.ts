import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

import type { Engine } from "../../src/domain/engine.ts";
import { createApp, type AppOptions } from "../../src/server/app.ts";
import { isThroughNetwork, throughNetwork } from "./through-network.ts";

/** The app around an engine, with settings that suit tests; behind the network, where tests are told so. */
export function appOf(engine: Engine, options: Partial<AppOptions> = {}): RequestListener {
  const app = createApp({
    engine,
    log: () => undefined,
    apiKeyHashes: [],
    anyModel: false,
    bodyLimitBytes: 1024 * 1024,
    loadWaitMs: 50,
    corsOrigin: "*",
    ...options,
  });
  return isThroughNetwork() ? throughNetwork(app) : app;
}

export interface RunningServer {
  readonly server: Server;
  readonly port: number;
  readonly url: string;
}

/** Listens on a free port until the test is over. */
export async function listen(t: TestContext, app: ReturnType<typeof appOf>): Promise<RunningServer> {
  const server = createServer(app).on("checkContinue", app).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { server, port, url: `http://127.0.0.1:${port}` };
}

/** The data of each event in a stream's text; comments are left out. */
export function eventsIn(text: string): string[] {
  return text
    .split("\n\n")
    .filter((event) => event.startsWith("data: "))
    .map((event) => event.slice("data: ".length));
}
