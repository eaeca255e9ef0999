/** Finds the end of a JSON object in text that comes in pieces. The text is known to be JSON. */
export class JsonObjectReader {
  #depth = 0;
  #inString = false;
  #escaped = false;

  get hasBegun(): boolean {
    return this.#depth > 0;
  }

  /** How much of the text belongs to the object, and whether the object ends there. */
  read(text: string): { readonly length: number; readonly isWhole: boolean } {
    for (let at = 0; at < text.length; at++) {
      const character = text[at];
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (character === "\\") this.#escaped = true;
        else if (character === '"') this.#inString = false;
      } else if (character === '"') this.#inString = true;
      else if (character === "{" || character === "[") this.#depth += 1;
      else if (character === "}" || character === "]") {
        this.#depth -= 1;
        if (this.#depth === 0) return { length: at + 1, isWhole: true };
      }
    }
    return { length: text.length, isWhole: false };
  }
}
