import { setTimeout as sleep } from "node:timers/promises";
import type { RequestHandler } from "express";

import { CodedError } from "../domain/errors.ts";

/** From the first request to the last: counts what runs, so that a stop can wait for it. */
export class Lifecycle {
  #running = 0;
  readonly #draining = new AbortController();
  #idle: (() => void) | undefined;

  get isDraining(): boolean {
    return this.#draining.signal.aborted;
  }

  /** Aborts when draining begins: whoever only waits for news stops waiting. */
  get draining(): AbortSignal {
    return this.#draining.signal;
  }

  /** Refuses new work and lets running work finish for a while. Returns whether all of it did. */
  async drain(limitMs: number): Promise<boolean> {
    this.#draining.abort();
    if (this.#running === 0) return true;
    const timeout = new AbortController();
    const idle = new Promise<void>((resolve) => {
      this.#idle = resolve;
    });
    const late = sleep(limitMs, undefined, { signal: timeout.signal }).catch(() => undefined);
    await Promise.race([idle, late]);
    timeout.abort();
    return this.#running === 0;
  }

  /** Errors: `shutting_down` for requests that come after `drain`. */
  get admit(): RequestHandler {
    return (_req, res, next) => {
      if (this.isDraining) {
        // The client's next request should find another server.
        res.set("Connection", "close");
        throw new CodedError("shutting_down", "The server is shutting down. Try again in a few seconds.");
      }
      this.#running += 1;
      res.once("close", () => {
        this.#running -= 1;
        if (this.#running === 0) this.#idle?.();
      });
      next();
    };
  }
}
