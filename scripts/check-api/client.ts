/** An HTTP client for checks: it knows nothing of the server but its address. */
export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON; undefined where it is none. */
  readonly json: unknown;
}

export interface StreamedEvent {
  readonly event: string | undefined;
  readonly data: string;
  /** The data as JSON; undefined where it is none. */
  readonly json: Members;
}

export type Members = Readonly<Record<string, unknown>>;

export interface SendOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  readonly signal?: AbortSignal;
}

const PATIENCE_MS = 120_000;

export class Client {
  /** Without `/v1` and without a slash at its end. */
  readonly base: string;
  /** Whether a compute node of the network stands between: answers come whole, and what is 404 comes as 400. */
  readonly asNetwork: boolean;

  constructor(base: string, asNetwork = false) {
    this.asNetwork = asNetwork;
    this.base = base.replace(/\/+$/, "").replace(/\/v1$/, "");
  }

  get notFound(): 400 | 404 {
    return this.asNetwork ? 400 : 404;
  }

  async send(path: string, { method = "GET", headers = {}, body, signal }: SendOptions = {}): Promise<Reply> {
    const patience = AbortSignal.timeout(PATIENCE_MS);
    const response = await fetch(this.base + path, {
      method,
      headers,
      signal: signal === undefined ? patience : AbortSignal.any([signal, patience]),
      ...(body !== undefined && { body: typeof body === "string" ? body : new Uint8Array(body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, json: parse(text) };
  }

  get(path: string): Promise<Reply> {
    return this.send(path);
  }

  post(path: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Reply> {
    return this.send(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
  }

  /** The answer of a request that must succeed. */
  async ask(path: string, body: Members): Promise<Members> {
    const reply = await this.post(path, body);
    if (reply.status !== 200) throw new Error(`${path} answered ${reply.status}: ${reply.text.slice(0, 300)}`);
    return reply.json as Members;
  }

  /** The events of a stream that must begin. */
  async stream(path: string, body: Members): Promise<StreamedEvent[]> {
    const reply = await this.post(path, { ...body, stream: true });
    if (reply.status !== 200) throw new Error(`${path} answered ${reply.status}: ${reply.text.slice(0, 300)}`);
    return toEvents(reply.text);
  }
}

export function toEvents(text: string): StreamedEvent[] {
  return text
    .split("\n\n")
    .filter((block) => block.trim() !== "" && !block.startsWith(":"))
    .map((block) => {
      const lines = block.split("\n");
      const valueOf = (name: string) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      const data = valueOf("data") ?? "";
      return { event: valueOf("event"), data, json: (parse(data) ?? {}) as Members };
    });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
