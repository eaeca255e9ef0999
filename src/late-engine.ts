import type { Engine, EngineStatus, Generation } from "./domain/engine.ts";
import { CodedError } from "./domain/errors.ts";
import type { GenerateRequest } from "./domain/generation.ts";
import type { ModelCard } from "./domain/model.ts";

/** An engine that is started by `load`, and not ready before: so that a server can be open without it. */
export class LateEngine implements Engine {
  readonly ready: Promise<void>;
  readonly #start: () => Promise<Engine>;
  #engine: Engine | undefined;
  #settle!: (loaded: Promise<void>) => void;

  constructor(start: () => Promise<Engine>) {
    this.#start = start;
    this.ready = new Promise((resolve) => {
      this.#settle = resolve;
    });
    // A failure is seen by whoever waits; with nobody waiting it is not an unhandled one.
    this.ready.catch(() => undefined);
  }

  /** Settles as `ready` does. */
  async load(): Promise<void> {
    this.#settle(this.#startAndWait());
    await this.ready;
  }

  async #startAndWait(): Promise<void> {
    this.#engine = await this.#start();
    await this.#engine.ready;
  }

  get isReady(): boolean {
    return this.#engine?.isReady ?? false;
  }

  get model(): ModelCard {
    return this.#arrived.model;
  }

  async generate(request: GenerateRequest, signal: AbortSignal): Promise<Generation> {
    return this.#arrived.generate(request, signal);
  }

  status(): EngineStatus {
    return this.#engine?.status() ?? { slots: [], queued: 0 };
  }

  async close(): Promise<void> {
    await this.#engine?.close();
  }

  get #arrived(): Engine {
    if (this.#engine === undefined) throw new CodedError("model_loading", "Loading model");
    return this.#engine;
  }
}
