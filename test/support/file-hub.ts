import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after } from "node:test";

export interface HubRequest {
  readonly method: string;
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A model hub on this machine with one file at every address. Tests change its members to make it misbehave. */
export class FileHub {
  content: Buffer;
  /** Undefined sends none. */
  linkedEtag: string | undefined;
  etag = '"one"';
  commit = "c".repeat(40);
  ranges = true;
  /** Answers that come before the usual one, one request each. */
  readonly next: Answer[] = [];
  readonly requests: HubRequest[] = [];
  url = "";
  #server: Server | undefined;

  constructor(content: Buffer) {
    this.content = content;
    this.linkedEtag = createHash("sha256").update(content).digest("hex");
  }

  /** Until the tests of this file have ended. */
  async start(): Promise<this> {
    after(() => this.stop());
    return this.listen();
  }

  /** Until `stop`. */
  async listen(): Promise<this> {
    const server = createServer((request, response) => {
      const { method = "", url: path = "", headers } = request;
      this.requests.push({ method, path, range: headers.range, authorization: headers.authorization });
      const answer = this.next.shift() ?? ((_request, usual) => this.answer(request, usual));
      answer(request, response);
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return this;
  }

  stop(): void {
    this.#server?.closeAllConnections();
    this.#server?.close();
  }

  /** Sends the file, or its first `cutAt` bytes and then breaks the connection. */
  answer(request: IncomingMessage, response: ServerResponse, cutAt?: number): void {
    const from = this.ranges ? Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0) : 0;
    response.setHeader("etag", this.etag);
    if (from >= this.content.length) return void response.writeHead(416).end();
    if (request.method === "HEAD") {
      response.setHeader("x-repo-commit", this.commit);
      response.setHeader("x-linked-size", this.content.length);
      if (this.linkedEtag !== undefined) response.setHeader("x-linked-etag", `"${this.linkedEtag}"`);
      return void response.writeHead(200, { "content-length": this.content.length }).end();
    }
    const body = this.content.subarray(from);
    const headers = { "content-length": body.length };
    if (from === 0) response.writeHead(200, headers);
    else {
      const range = `bytes ${from}-${this.content.length - 1}/${this.content.length}`;
      response.writeHead(206, { ...headers, "content-range": range });
    }
    if (cutAt === undefined) return void response.end(body);
    // Time for the client to take what was sent before the connection breaks.
    response.write(body.subarray(0, cutAt - from), () => setTimeout(() => response.destroy(), 50));
  }

  /** Queues an answer to GET that ends after `bytes`. The look-up before it is answered as usual. */
  cutNextDownloadAt(bytes: number): void {
    this.next.push(
      (request, response) => this.answer(request, response),
      (request, response) => this.answer(request, response, bytes),
    );
  }

  get askedRanges(): readonly (string | undefined)[] {
    return this.requests.filter(({ method }) => method === "GET").map(({ range }) => range);
  }
}

/** An answer without a body. */
export function status(code: number, headers: Readonly<Record<string, string>> = {}): Answer {
  return (_request, response) => void response.writeHead(code, headers).end();
}
