/** Both servers as processes, and requests to them over HTTP. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { Agent, request, type IncomingMessage } from "node:http";
import { createServer, type AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

export interface ServerOptions {
  readonly model: string;
  readonly slots: number;
  /** Tokens of one slot. */
  readonly contextLength: number;
  readonly threads: number;
}

const LONGEST_START_MS = 300_000;
const agent = new Agent({ keepAlive: true, maxSockets: Infinity });

/** What one request saw. */
export interface Seen {
  readonly firstMs: number;
  readonly totalMs: number;
  /** The whole answer's text, events and all. */
  readonly raw: string;
}

export class BenchedServer {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #port: number;

  private constructor(name: string, child: ChildProcess, port: number) {
    this.name = name;
    this.#child = child;
    this.#port = port;
  }

  static async ours(options: ServerOptions): Promise<BenchedServer> {
    const port = await freePort();
    const child = spawn(process.execPath, [fileURLToPath(new URL("../../../src/main.js", import.meta.url))], {
      env: {
        ...process.env,
        UV_THREADPOOL_SIZE: "1",
        PINFERENCE_PORT: String(port),
        PINFERENCE_MODEL: options.model,
        PINFERENCE_MODEL_ID: "bench",
        PINFERENCE_SLOTS: String(options.slots),
        PINFERENCE_CONTEXT_LENGTH: String(options.contextLength),
        PINFERENCE_THREADS: String(options.threads),
        PINFERENCE_LOAD_WAIT_MS: String(LONGEST_START_MS),
      },
      stdio: ["ignore", "ignore", "inherit"],
    });
    return await new BenchedServer("pinference", child, port).#ready();
  }

  static async peer(path: string, options: ServerOptions): Promise<BenchedServer> {
    const port = await freePort();
    const { model, slots, contextLength, threads } = options;
    const args = ["-m", model, "-np", slots, "-c", contextLength * slots, "-t", threads, "--port", port, "--slots"];
    const child = spawn(path, [...args.map(String), "--no-webui", "--jinja"], {
      stdio: ["ignore", "ignore", "ignore"],
    });
    return await new BenchedServer("llama-server", child, port).#ready();
  }

  get pid(): number {
    return this.#child.pid!;
  }

  async post(path: string, body: object, signal?: AbortSignal): Promise<Seen> {
    const startedAt = performance.now();
    const asking = request({
      host: "127.0.0.1",
      port: this.#port,
      method: "POST",
      path,
      agent,
      headers: { "content-type": "application/json" },
      ...(signal && { signal }),
    });
    asking.end(JSON.stringify(body));
    const [response] = (await once(asking, "response")) as [IncomingMessage];
    response.setEncoding("utf8");
    let raw = "";
    let firstMs = 0;
    for await (const piece of response as AsyncIterable<string>) {
      raw += piece;
      // Empty openings are not text.
      if (firstMs === 0 && /"content":"[^"]/.test(raw)) firstMs = performance.now() - startedAt;
    }
    if (response.statusCode !== 200)
      throw new Error(`${this.name} answered ${response.statusCode}: ${raw.slice(0, 300)}`);
    return { firstMs, totalMs: performance.now() - startedAt, raw };
  }

  async get(path: string): Promise<string> {
    const asking = request({ host: "127.0.0.1", port: this.#port, path, agent });
    asking.end();
    const [response] = (await once(asking, "response")) as [IncomingMessage];
    response.setEncoding("utf8");
    let text = "";
    for await (const piece of response as AsyncIterable<string>) text += piece;
    return text;
  }

  async busySlots(): Promise<number> {
    const slots = JSON.parse(await this.get("/slots")) as { readonly is_processing: boolean }[];
    return slots.filter((slot) => slot.is_processing).length;
  }

  /** Resident memory in MiB. Linux only. */
  residentMiB(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, "utf8");
    return Number(/^VmRSS:\s*(\d+) kB/m.exec(status)?.[1] ?? Number.NaN) / 1024;
  }

  async stop(): Promise<void> {
    const closed = once(this.#child, "close");
    this.#child.kill("SIGKILL");
    await closed;
  }

  async #ready(): Promise<this> {
    const deadline = performance.now() + LONGEST_START_MS;
    while (performance.now() < deadline) {
      if (this.#child.exitCode !== null) throw new Error(`${this.name} ended with ${this.#child.exitCode}`);
      const answer = await this.get("/health").catch(() => "");
      if (/"ok"/.test(answer)) return this;
      await sleep(10);
    }
    throw new Error(`${this.name} did not start`);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
