/** Servers for the browser to visit, with answers that the tests decide. */
import { createServer, request as httpRequest } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

import type { GenerationStep } from "../../src/domain/generation.ts";
import type { AppOptions } from "../../src/server/app.ts";
import { done, FakeEngine, type Script } from "../support/fake-engine.ts";
import { appOf, listen } from "../support/server.ts";

export const PROGRAM = "cafe".repeat(16);

export function text(content: string): GenerationStep {
  return { type: "text", choice: 0, text: content };
}

/** A whole answer of these steps. */
export function answering(...steps: Script): Script {
  const tokens = steps.filter((step) => typeof step === "object" && "type" in step && step.type === "text").length;
  return [{ type: "started" }, ...steps, { type: "finish", choice: 0, reason: "stop" }, done(tokens)];
}

/** Open once it is told to be. */
export function gate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

export interface Served {
  readonly engine: FakeEngine;
  /** Of the server itself, with a slash at its end. */
  readonly url: string;
  /** The same, below a program's path. */
  readonly programUrl: string;
}

export async function serve(
  t: TestContext,
  script: Script = answering(text("Hello.")),
  options: Partial<AppOptions> = {},
  engine = new FakeEngine({ script }),
): Promise<Served> {
  const { url } = await listen(t, appOf(engine, options));
  return { engine, url: `${url}/`, programUrl: `${url}/vm/${PROGRAM}/` };
}

/** A gateway in front that sends nothing of an answer before it is whole, as compute nodes do. */
export async function behindBuffer(t: TestContext, url: string): Promise<string> {
  const target = new URL(url);
  const gateway = createServer((request, response) => {
    const { method, headers, url: path } = request;
    const onward = httpRequest({ port: target.port, method, path, headers, agent: false }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on("data", (chunk: Buffer) => chunks.push(chunk));
      answer.on("end", () => {
        const { "transfer-encoding": _encoding, ...kept } = answer.headers;
        response.writeHead(answer.statusCode ?? 502, { ...kept, "content-length": Buffer.concat(chunks).length });
        response.end(Buffer.concat(chunks));
      });
    });
    onward.on("error", () => response.destroy());
    request.pipe(onward);
  }).listen(0, "127.0.0.1");
  await once(gateway, "listening");
  t.after(() => {
    gateway.closeAllConnections();
    gateway.close();
  });
  return `http://127.0.0.1:${(gateway.address() as AddressInfo).port}/`;
}
