/**
 * Keeps what is reported of tokens until their text is sent: text waits for the rest of a character, and for the
 * decision whether it begins a stop sequence. What a stop sequence cuts off is never reported.
 */
export class Aligner<Report> {
  /** Characters of text made and sent so far. */
  #made = 0;
  #sent = 0;
  #unmade: Report[] = [];
  readonly #ready: { readonly report: Report; readonly end: number }[] = [];

  token(report: Report): void {
    this.#unmade.push(report);
  }

  /** The tokens so far have become text. */
  text(piece: string): void {
    this.#made += piece.length;
    for (const report of this.#unmade) this.#ready.push({ report, end: this.#made });
    this.#unmade = [];
  }

  /** The tokens whose text is sent with this piece. */
  send(piece: string): readonly Report[] {
    this.#sent += piece.length;
    const count = this.#ready.findIndex(({ end }) => end > this.#sent);
    return this.#ready.splice(0, count < 0 ? this.#ready.length : count).map(({ report }) => report);
  }
}
