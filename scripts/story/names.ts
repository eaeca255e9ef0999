/** Names for what differs from run to run, so that a transcript can be made again and compared. Pure. */

/** Of waiting, and of progress, which a fast machine does not show. */
const PASSING = /^ {2}(?:note: \S+: it (?:loads the model|is starting)|[a-z ]+: \d+%, .*)\n/gm;
const HASH = /\b[0-9a-f]{64}\b/g;
const SHORTENED = /\b([0-9a-f]{8})…/g;
const ADDRESS = /0x[0-9a-fA-F]{40}\b/g;
const DATE = /\b\d{4}-\d\d-\d\d\b/g;
const RATE = /[\d.]+ tokens\/s/g;
const TIME = /\b(?:\d+ min \d+ s|\d+(?:\.\d+)? m?s)\b/g;

export class Names {
  readonly #texts = new Map<string, string>();
  readonly #hashes = new Map<string, string>();

  add(text: string, name: string): void {
    this.#texts.set(text, name);
  }

  addHash(hash: string, name: string): void {
    this.#hashes.set(hash, name);
  }

  apply(text: string): string {
    let named = text;
    for (const [found, name] of this.#texts) named = named.replaceAll(found, name);
    for (const [hash, name] of this.#hashes) named = named.replaceAll(hash, name);
    return named
      .replaceAll(PASSING, "")
      .replaceAll(SHORTENED, (_, start: string) => this.#nameOf(start) ?? "<another hash>")
      .replaceAll(HASH, "<another hash>")
      .replaceAll(ADDRESS, "<address>")
      .replaceAll(DATE, "<date>")
      .replaceAll(RATE, "<rate> tokens/s")
      .replaceAll(TIME, "<time>");
  }

  #nameOf(start: string): string | undefined {
    return [...this.#hashes].find(([hash]) => hash.startsWith(start))?.[1];
  }
}

/** What is the same for every run on every version: the words, without numbers and what they were padded with. */
export function structureOf(transcript: string): string {
  return transcript.replaceAll(/\d[\d.,]*/g, "#").replaceAll(/ +/g, " ");
}
