/** The guest init as a process of its own, with the fake server as its code, and a scripted host around it. */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createConnection, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import type { HeaderList } from "../../src/guest/forward.ts";
import { type Configuration, encodeConfiguration, encodeRunRequest, parseAnswer } from "../../src/guest/protocol.ts";

const INIT = fileURLToPath(new URL("../../src/guest/init.js", import.meta.url));
const FAKE_SERVER = fileURLToPath(new URL("./fake-guest.js", import.meta.url));
const LONGEST_MS = 60_000;

export interface GuestOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** The host's socket comes later than the guest. */
  readonly hostIsLateMs?: number;
  /** Started with descriptors 0 to 2 closed. */
  readonly closed?: boolean;
}

export interface TextAnswer {
  readonly status: number;
  readonly headers: HeaderList;
  readonly text: string;
}

export class GuestProcess {
  readonly directory = mkdtempSync(join(tmpdir(), "guest-"));
  readonly child: ChildProcess;
  readonly #told: Promise<Buffer>;
  #output = "";

  constructor(t: TestContext, { env = {}, hostIsLateMs = 0, closed = false }: GuestOptions = {}) {
    const root = join(this.directory, "root");
    mkdirSync(join(root, "opt/code/src"), { recursive: true });
    mkdirSync(join(this.directory, "dev"));
    copyFileSync(FAKE_SERVER, join(root, "opt/code/src/main.js"));
    writeFileSync(join(root, "opt/code/package.json"), '{"type":"module"}');
    writeFileSync(this.device("vdb"), "the code's image");
    const host = createServer();
    const listening = delay(hostIsLateMs).then(() => host.listen(join(this.directory, "h")));
    this.#told = new Promise((resolve) => {
      host.on("connection", (socket: Socket) => {
        const pieces: Buffer[] = [];
        socket.on("data", (piece: Buffer) => pieces.push(piece));
        socket.once("end", () => resolve(Buffer.concat(pieces)));
      });
    });
    const [command = "", ...args] = closed
      ? ["/bin/sh", "-c", 'exec "$0" "$1" <&- >&- 2>&-', process.execPath, INIT]
      : [process.execPath, INIT];
    this.child = spawn(command, args, {
      env: {
        PATH: process.env["PATH"] ?? "",
        PINFERENCE_GUEST_SOCKET: join(this.directory, "s"),
        PINFERENCE_HOST_SOCKET: join(this.directory, "h"),
        PINFERENCE_GUEST_DEVICES: join(this.directory, "dev"),
        PINFERENCE_GUEST_ROOT: root,
        PINFERENCE_GUEST_MOUNTED: "1",
        ...env,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const output of [this.child.stdout, this.child.stderr]) {
      output?.on("data", (chunk: Buffer) => (this.#output += String(chunk)));
    }
    t.after(async () => {
      if (this.child.exitCode === null && this.child.signalCode === null) {
        this.child.kill("SIGTERM");
        await once(this.child, "exit");
      }
      await listening;
      host.close();
      rmSync(this.directory, { recursive: true, force: true });
    });
  }

  /** The bytes of the ready message. */
  async ready(): Promise<Buffer> {
    return withinReason(this.#told, () => `no ready message; the guest said: ${this.#output}`);
  }

  /** Lines that the guest, and its server, have printed. */
  get output(): string {
    return this.#output;
  }

  device(name: string): string {
    return join(this.directory, "dev", name);
  }

  connect(): Socket {
    return createConnection(join(this.directory, "s"));
  }

  /** Sends these pieces with a pause after each, and returns all that comes until the guest closes. */
  async exchange(...pieces: readonly (Uint8Array | string)[]): Promise<Buffer> {
    const socket = this.connect();
    const received: Buffer[] = [];
    socket.on("data", (piece: Buffer) => received.push(piece));
    const over = once(socket, "end");
    for (const piece of pieces) {
      socket.write(piece);
      if (pieces.length > 1) await new Promise(setImmediate);
    }
    await withinReason(over, () => `no end of an answer; the guest said: ${this.#output}`);
    socket.destroy();
    return Buffer.concat(received);
  }

  async configure(changes: Partial<Configuration> = {}): Promise<string> {
    return (await this.exchange(configurationBytes(changes))).toString("hex");
  }

  async run(path: string, request: Partial<Parameters<typeof encodeRunRequest>[0]> = {}): Promise<TextAnswer> {
    return readAnswer(await this.exchange(runBytes(path, request)));
  }
}

export const SUCCESS = "81a773756363657373c3";

export function configurationBytes(changes: Partial<Configuration> = {}): Buffer {
  const configuration = {
    interface: "executable",
    vmHash: "cafe".repeat(16),
    encoding: "squashfs",
    entrypoint: "src/main.js",
    volumes: [{ mount: "/opt/code", device: "vdb", readOnly: true }],
    variables: {},
    ...changes,
  };
  const network = { ip: null, route: null, dnsServers: [], ipv6: null, ipv6Gateway: null };
  return encodeConfiguration(configuration, network);
}

export function runBytes(path: string, request: Partial<Parameters<typeof encodeRunRequest>[0]> = {}): Buffer {
  const body = new Uint8Array(0);
  return Buffer.from(encodeRunRequest({ method: "GET", path, queryString: "", headers: [], body, ...request }));
}

/** Never empty, never the protocol's error: both would end the guest, or tell strangers about it. */
export function readAnswer(bytes: Buffer): TextAnswer {
  if (bytes.length === 0) throw new Error("an empty answer, for which a host ends the guest");
  const answer = parseAnswer(bytes);
  if (!("status" in answer)) throw new Error(`the protocol's error: ${answer.traceback}`);
  return { status: answer.status, headers: answer.headers, text: Buffer.from(answer.body).toString() };
}

export function sha256Of(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function withinReason<T>(promise: Promise<T>, failure: () => string): Promise<T> {
  const over = new AbortController();
  const late = delay(LONGEST_MS, undefined, { signal: over.signal }).then(() => {
    throw new Error(failure());
  });
  late.catch(() => undefined);
  return Promise.race([promise, late]).finally(() => over.abort());
}
