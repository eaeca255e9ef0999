import { cutSlot, type Slot } from "./slots.ts";

interface Waiting {
  readonly slot: number;
  readonly resolve: (tokens: number) => void;
  readonly reject: (error: unknown) => void;
}

/** Wishes that slots forget what they hold, each granted between two steps, once its slot is free. */
export class Erasures {
  #waiting: Waiting[] = [];

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** Resolves with the count of tokens that were forgotten. */
  ask(slot: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ slot, resolve, reject });
    });
  }

  /** `forget` empties a sequence. */
  grant(slots: readonly Slot<unknown>[], forget: (slot: number) => void): void {
    this.#waiting = this.#waiting.filter(({ slot: id, resolve }) => {
      const slot = slots[id];
      if (slot === undefined || slot.job !== undefined) return true;
      const { length } = slot.tokens;
      forget(id);
      cutSlot(slot, 0);
      resolve(length);
      return false;
    });
  }

  fail(error: unknown): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}
