import type { Response } from "express";

export interface EventWriterOptions {
  /** Silence after which a sign of life is sent; undefined is never. */
  readonly pingMs: number | undefined;
  /** What is sent then. Default: a comment. */
  readonly ping?: string;
  /** Characters that may wait for a client that reads slowly. */
  readonly maxWaiting: number;
  /** How long a client may read nothing at all while something waits for it. */
  readonly stallMs: number;
}

/** The headers keep proxies from holding events back. `Connection` is Node.js's: a client may have asked to close. */
const HEADERS = {
  "Content-Type": "text/event-stream; charset=utf-8",
  "Cache-Control": "no-cache, no-transform",
  "X-Accel-Buffering": "no",
};
const PING = ": ping\n\n";

/**
 * Writes events that are already text. Each `send` returns at once. What is sent within one turn of the event loop
 * leaves in one write; while the client does not keep up it waits here, up to a limit, so that neither the engine's
 * pace nor memory depends on the client. Beyond the limit the response is destroyed, as if the client had left.
 */
export class EventWriter {
  readonly #res: Response;
  readonly #options: EventWriterOptions;
  readonly #pingTimer: NodeJS.Timeout | undefined;
  #waiting = "";
  #scheduled: NodeJS.Immediate | undefined;
  #stallTimer: NodeJS.Timeout | undefined;
  #ending = false;
  #whenIdle: (() => void)[] = [];

  constructor(res: Response, options: EventWriterOptions) {
    this.#res = res;
    this.#options = options;
    res.status(200).set(HEADERS);
    res.flushHeaders();
    if (options.pingMs !== undefined) this.#pingTimer = setTimeout(() => this.#ping(), options.pingMs);
    res.on("drain", () => this.#resume());
    res.once("close", () => this.#release());
  }

  send(events: string): void {
    if (events === "" || this.#res.destroyed) return;
    const isBehind = this.#waiting !== "";
    this.#waiting += events;
    if (isBehind && this.#waiting.length > this.#options.maxWaiting) this.#giveUp();
    else if (this.#stallTimer === undefined) this.#scheduled ??= setImmediate(() => this.#flush());
  }

  /** Resolves when nothing waits any more, sent or lost: for events that are kept elsewhere until then. */
  async idle(): Promise<void> {
    if (this.#res.destroyed || (this.#waiting === "" && this.#stallTimer === undefined)) return;
    await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
  }

  /** Sends the last events and ends the response. */
  end(events: string): void {
    this.send(events);
    this.#ending = true;
    if (this.#stallTimer === undefined) this.#flush();
  }

  #flush(): void {
    clearImmediate(this.#scheduled);
    this.#scheduled = undefined;
    if (this.#res.destroyed) return;
    const events = this.#waiting;
    this.#waiting = "";
    if (this.#ending) {
      this.#res.end(events);
      this.#expectReading();
      return;
    }
    this.#pingTimer?.refresh();
    if (this.#res.write(events)) this.#wakeIdle();
    else this.#expectReading();
  }

  #wakeIdle(): void {
    const idle = this.#whenIdle;
    this.#whenIdle = [];
    for (const wake of idle) wake();
  }

  #expectReading(): void {
    this.#stallTimer = setTimeout(() => this.#giveUp(), this.#options.stallMs);
  }

  #resume(): void {
    if (this.#res.writableEnded) return;
    clearTimeout(this.#stallTimer);
    this.#stallTimer = undefined;
    if (this.#waiting !== "" || this.#ending) this.#flush();
    else this.#wakeIdle();
  }

  #ping(): void {
    if (this.#ending) return;
    // A client that has not read the last events needs no sign of life.
    if (this.#stallTimer === undefined) this.send(this.#options.ping ?? PING);
    this.#pingTimer?.refresh();
  }

  #giveUp(): void {
    this.#waiting = "";
    this.#res.destroy();
  }

  #release(): void {
    clearTimeout(this.#pingTimer);
    clearTimeout(this.#stallTimer);
    clearImmediate(this.#scheduled);
    this.#waiting = "";
    this.#wakeIdle();
  }
}
