import type { GenerationStep } from "../domain/generation.ts";

/**
 * Hands steps from the scheduler, which must never wait, to one reader, which may. What is queued is bounded by the
 * answer's own length; the server gives up on a reader that falls too far behind.
 */
export class StepQueue implements AsyncIterableIterator<GenerationStep> {
  readonly #abandon: () => void;
  readonly #steps: GenerationStep[] = [];
  #waiting: Reader | undefined;
  #ended = false;
  #error: { readonly cause: unknown } | undefined;
  #whenEnded: (() => void) | undefined;

  /** `abandon` is called when the reader leaves its loop early. */
  constructor(abandon: () => void) {
    this.#abandon = abandon;
  }

  onEnd(callback: () => void): void {
    this.#whenEnded = callback;
  }

  push(step: GenerationStep): void {
    if (this.#ended) return;
    if (this.#waiting === undefined) {
      this.#steps.push(step);
      return;
    }
    this.#waiting.resolve({ value: step, done: false });
    this.#waiting = undefined;
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#whenEnded?.();
    this.#waiting?.resolve({ value: undefined, done: true });
    this.#waiting = undefined;
  }

  /** What was queued before is still read. */
  fail(cause: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#whenEnded?.();
    if (this.#waiting === undefined) this.#error = { cause };
    else this.#waiting.reject(cause);
    this.#waiting = undefined;
  }

  next(): Promise<IteratorResult<GenerationStep, undefined>> {
    const step = this.#steps.shift();
    if (step !== undefined) return Promise.resolve({ value: step, done: false });
    if (this.#error !== undefined) {
      const { cause } = this.#error;
      this.#error = undefined;
      // eslint-disable-next-line typescript/prefer-promise-reject-errors -- passes on what was thrown
      return Promise.reject(cause);
    }
    if (this.#ended) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  return(): Promise<IteratorResult<GenerationStep, undefined>> {
    if (!this.#ended) {
      this.#abandon();
      this.end();
    }
    this.#steps.length = 0;
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

interface Reader {
  resolve(result: IteratorResult<GenerationStep, undefined>): void;
  reject(cause: unknown): void;
}
