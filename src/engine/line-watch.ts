/** What may be shown now, and whether the answer ends here. */
export interface LineResult {
  readonly text: string;
  readonly ended: boolean;
}

export interface LineLimits {
  /** Spaces and tabs that each line but the first begins with at least; 0 is no limit. */
  readonly leastIndent: number;
  /** Whether the next line end shall be the last. */
  isTimeUp(): boolean;
}

/**
 * Ends answers where lines do: before a line that is indented too little, and at the first line end after a time.
 * Source: llama.cpp, tools/server, n_indent and t_max_predict_ms. The beginning of a line is held back until its
 * indentation is known.
 */
export class LineWatch {
  readonly #limits: LineLimits;
  /** The indentation of the line that begins; undefined inside a line. */
  #indent: string | undefined;

  constructor(limits: LineLimits) {
    this.#limits = limits;
  }

  push(piece: string): LineResult {
    let text = "";
    for (const character of piece) {
      if (this.#indent !== undefined) {
        if (character === " " || character === "\t") {
          this.#indent += character;
          continue;
        }
        const indent = this.flush();
        if (indent.length < this.#limits.leastIndent) return { text, ended: true };
        text += indent;
      }
      text += character;
      if (character !== "\n") continue;
      if (this.#limits.isTimeUp()) return { text, ended: true };
      if (this.#limits.leastIndent > 0) this.#indent = "";
    }
    return { text, ended: false };
  }

  /** What was held back, for when the answer ended otherwise. */
  flush(): string {
    const held = this.#indent ?? "";
    this.#indent = undefined;
    return held;
  }
}
