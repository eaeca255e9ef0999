/** A local node whose faults a test turns on and off, behind a proxy that counts what is sent to it. */
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream";
import { fileURLToPath } from "node:url";

import { Faults } from "../../deploy/local/faults/faults.ts";
import { startNode } from "../../deploy/parts/node.ts";
import { wallet } from "../deploy/local/ccn-harness.ts";

export interface Listed {
  readonly type: string;
  readonly item_hash: string;
  readonly content: {
    readonly item_hash?: string;
    readonly metadata?: { readonly name?: string };
    readonly resources?: { readonly seconds?: number };
  };
}

export interface FaultyNode {
  readonly url: string;
  readonly faults: Faults;
  /** Since the last look. */
  sent(): { readonly uploads: number; readonly publications: number };
  /** Processed, oldest first; whatever the faults are. */
  messages(): Promise<readonly Listed[]>;
  stop(): Promise<void>;
}

const packageRoot = fileURLToPath(new URL("../../../", import.meta.url));

export async function startFaultyNode(directory: string): Promise<FaultyNode> {
  const faults = new Faults();
  const node = await startNode(
    {
      directory,
      owners: [wallet.address],
      host: "127.0.0.1",
      port: 0,
      asNetwork: true,
      vmPackages: undefined,
      idleSeconds: undefined,
      faults,
    },
    packageRoot,
    new AbortController().signal,
  );
  const count = { uploads: 0, publications: 0 };
  const proxy = createServer((from, to) => {
    if (from.method === "POST" && /\/add_(?:file|car)$/.test(from.url ?? "")) count.uploads += 1;
    if (from.method === "POST" && from.url === "/api/v0/messages") count.publications += 1;
    passOn(node.url, from, to);
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    faults,
    sent() {
      const sent = { ...count };
      Object.assign(count, { uploads: 0, publications: 0 });
      return sent;
    },
    async messages() {
      const response = await fetch(`${node.url}/api/v0/messages.json?pagination=0&sortOrder=1`, {
        headers: { connection: "close" },
      });
      return ((await response.json()) as { messages: Listed[] }).messages;
    },
    async stop() {
      await stopServer(proxy);
      await node.close();
    },
  };
}

/** What breaks on one side breaks on the other. */
function passOn(nodeUrl: string, from: IncomingMessage, to: ServerResponse): void {
  const { method = "GET", headers, url = "/" } = from;
  const onward = request(`${nodeUrl}${url}`, { method, headers }, (answer) => {
    to.writeHead(answer.statusCode ?? 502, answer.headers);
    pipeline(answer, to, (error) => error && to.destroy());
  });
  onward.on("error", () => to.destroy());
  to.on("close", () => onward.destroy());
  pipeline(from, onward, () => undefined);
}

async function stopServer(server: Server): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeAllConnections();
  await closed;
}
