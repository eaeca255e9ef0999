import type { TokenChance } from "../domain/generation.ts";

/**
 * Keeps what is reported of tokens until their text is sent: text waits for the rest of a character, and for the
 * decision whether it begins a stop sequence. What a stop sequence cuts off is never reported.
 */
export class Aligner {
  /** Characters of text made and sent so far. */
  #made = 0;
  #sent = 0;
  #unmade: TokenChance[] = [];
  readonly #ready: { readonly chance: TokenChance; readonly end: number }[] = [];

  token(chance: TokenChance): void {
    this.#unmade.push(chance);
  }

  /** The tokens so far have become text. */
  text(piece: string): void {
    this.#made += piece.length;
    for (const chance of this.#unmade) this.#ready.push({ chance, end: this.#made });
    this.#unmade = [];
  }

  /** The tokens whose text is sent with this piece. */
  send(piece: string): readonly TokenChance[] {
    this.#sent += piece.length;
    const count = this.#ready.findIndex(({ end }) => end > this.#sent);
    return this.#ready.splice(0, count < 0 ? this.#ready.length : count).map(({ chance }) => chance);
  }
}
