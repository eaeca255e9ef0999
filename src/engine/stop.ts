/** What may be sent now, and whether a stop sequence was met. */
export interface StopResult {
  readonly text: string;
  readonly stopped: boolean;
}

/**
 * Looks for stop sequences in a text that arrives in pieces. Text that may be the beginning of one is held back until
 * the next piece decides, so that no part of a stop sequence is ever sent.
 */
export class StopMatcher {
  readonly #stops: readonly string[];
  #held = "";
  #met: string | undefined;

  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /** The stop sequence that was met. */
  get met(): string | undefined {
    return this.#met;
  }

  push(piece: string): StopResult {
    if (this.#stops.length === 0) return { text: piece, stopped: false };
    const text = this.#held + piece;
    let first = -1;
    for (const stop of this.#stops) {
      const at = text.indexOf(stop);
      if (at >= 0 && (first < 0 || at < first)) [first, this.#met] = [at, stop];
    }
    if (first >= 0) {
      this.#held = "";
      return { text: text.slice(0, first), stopped: true };
    }
    const safe = text.length - this.#longestBeginning(text);
    this.#held = text.slice(safe);
    return { text: text.slice(0, safe), stopped: false };
  }

  /** What was held back, for when generation ended otherwise. */
  flush(): string {
    const held = this.#held;
    this.#held = "";
    return held;
  }

  /** Length of the longest end of `text` that begins a stop sequence. */
  #longestBeginning(text: string): number {
    let longest = 0;
    for (const stop of this.#stops) {
      for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
        if (text.endsWith(stop.slice(0, length))) {
          longest = length;
          break;
        }
      }
    }
    return longest;
  }
}
