import type { InputItem } from "../../openai/responses/items.ts";
import type { NumberedEvent, ResponseRecorder } from "../../openai/responses/recorder.ts";

/** Kept at least: so many responses… */
const LEAST_KEPT = 256;
/** …for so long. */
const LEAST_AGE_MS = 10 * 60_000;
/** Never more than that, however young: memory belongs to the model. */
const MOST_KEPT = 4096;
const MOST_CHARACTERS = 64 * 1024 * 1024;

/** A response, its events so far, and whoever waits for the next. */
export class StoredResponse {
  readonly id: string;
  readonly recorder: ResponseRecorder;
  readonly background: boolean;
  /** The conversation before the answer: this request's items and those of the responses that it follows. */
  readonly conversation: readonly InputItem[];
  /** This request's items, as they are listed. */
  readonly listed: readonly Readonly<Record<string, unknown>>[];
  readonly createdMs = Date.now();
  readonly events: NumberedEvent[] = [];
  readonly #stop: () => void;
  readonly #inputCharacters: number;
  #eventCharacters = 0;
  #wake: (() => void)[] = [];
  #ended = false;

  constructor(options: {
    readonly id: string;
    readonly recorder: ResponseRecorder;
    readonly background: boolean;
    readonly conversation: readonly InputItem[];
    readonly listed: readonly Readonly<Record<string, unknown>>[];
    /** Ends the computation. */
    readonly stop: () => void;
  }) {
    this.id = options.id;
    this.recorder = options.recorder;
    this.background = options.background;
    this.conversation = options.conversation;
    this.listed = options.listed;
    this.#stop = options.stop;
    this.#inputCharacters = JSON.stringify(options.conversation).length;
  }

  /** True once no event can follow. */
  get ended(): boolean {
    return this.#ended;
  }

  /** What it takes of memory, roughly. */
  get characters(): number {
    return this.#inputCharacters + this.#eventCharacters;
  }

  add(events: readonly NumberedEvent[]): void {
    if (this.#ended) return;
    for (const event of events) {
      this.events.push(event);
      this.#eventCharacters += event.json.length;
    }
    if (events.length > 0) this.#wakeAll();
  }

  /** No event follows. */
  end(): void {
    this.#ended = true;
    this.#wakeAll();
  }

  cancel(): void {
    if (this.#ended) return;
    this.recorder.cancel();
    this.end();
    this.#stop();
  }

  /** Resolves at the next event, at the end, or when the signal aborts. */
  async changed(signal: AbortSignal): Promise<void> {
    if (this.#ended || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const wake = () => {
        signal.removeEventListener("abort", wake);
        resolve();
      };
      signal.addEventListener("abort", wake, { once: true });
      this.#wake.push(wake);
    });
  }

  #wakeAll(): void {
    const sleepers = this.#wake;
    this.#wake = [];
    for (const wake of sleepers) wake();
  }
}

/** Responses by id, in memory, the oldest first to go. What still runs stays. */
export class ResponseStore {
  readonly #responses = new Map<string, StoredResponse>();

  get(id: string): StoredResponse | undefined {
    return this.#responses.get(id);
  }

  add(response: StoredResponse): void {
    this.#responses.set(response.id, response);
    this.#forgetOldest();
  }

  delete(id: string): void {
    this.#responses.delete(id);
  }

  #forgetOldest(): void {
    let characters = 0;
    for (const response of this.#responses.values()) characters += response.characters;
    for (const response of this.#responses.values()) {
      const tooMany = this.#responses.size > MOST_KEPT || characters > MOST_CHARACTERS;
      const mayGo = this.#responses.size > LEAST_KEPT && Date.now() - response.createdMs > LEAST_AGE_MS;
      if (!tooMany && !mayGo) return;
      if (!response.ended) continue;
      this.#responses.delete(response.id);
      characters -= response.characters;
    }
  }
}
