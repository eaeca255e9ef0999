import { CodedError } from "../domain/errors.ts";

/** A part of a grammar rule. Characters themselves do not matter to the checks, only how many there are. */
export type Node =
  | { readonly kind: "characters"; readonly count: number; readonly text: string }
  | { readonly kind: "rule"; readonly name: string }
  | { readonly kind: "sequence"; readonly parts: readonly Node[] }
  | { readonly kind: "choice"; readonly branches: readonly Node[] }
  | { readonly kind: "repeat"; readonly part: Node; readonly least: number; readonly most: number };

export const MAX_REPETITIONS = 2000;
const MAX_TEXT = 512 * 1024;
const MAX_DEPTH = 64;

/**
 * llama.cpp's grammar notation, read before llama.cpp reads it: what its parser is not safe against never reaches it.
 * Errors: `invalid_grammar`.
 */
export function parseGbnf(text: string): ReadonlyMap<string, Node> {
  return new GbnfParser(text).parse();
}

export function grammarFault(reason: string): CodedError {
  return new CodedError("invalid_grammar", `Invalid value for 'grammar': ${reason}.`, { param: "grammar" });
}

class GbnfParser {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    if (text.length > MAX_TEXT) throw grammarFault(`expected at most ${MAX_TEXT} characters, got ${text.length}`);
    if (text.includes("\0")) throw grammarFault("a NUL character is not allowed; write \\x00");
    this.#text = text;
  }

  parse(): ReadonlyMap<string, Node> {
    const rules = new Map<string, Node>();
    this.#skip(true);
    while (this.#at < this.#text.length) {
      const name = this.#name();
      this.#skip(false);
      if (!this.#take("::=")) throw this.#fault("'::=' was expected");
      this.#skip(true);
      if (rules.has(name)) throw grammarFault(`the rule '${name.slice(0, 100)}' is defined twice`);
      rules.set(name, this.#choice());
      if (this.#at < this.#text.length && !this.#match(/\r?\n|\r/y)) throw this.#fault("a new line was expected");
      this.#skip(true);
    }
    return rules;
  }

  #choice(): Node {
    const branches = [this.#sequence()];
    while (this.#take("|")) {
      this.#skip(true);
      branches.push(this.#sequence());
    }
    return branches.length === 1 ? branches[0]! : { kind: "choice", branches };
  }

  #sequence(): Node {
    const parts: Node[] = [];
    for (let part = this.#primary(); part !== undefined; part = this.#primary()) {
      this.#skip(this.#depth > 0);
      let repeated = part;
      for (let times = this.#repetition(); times !== undefined; times = this.#repetition()) {
        repeated = { kind: "repeat", part: repeated, ...times };
        this.#skip(this.#depth > 0);
      }
      parts.push(repeated);
    }
    return parts.length === 1 ? parts[0]! : { kind: "sequence", parts };
  }

  #primary(): Node | undefined {
    const next = this.#text[this.#at];
    if (next === '"') return this.#literal();
    if (next === "[") return this.#characterClass();
    if (next === "(") return this.#group();
    if (this.#take(".")) return { kind: "characters", count: 1, text: "." };
    if (next !== undefined && /[a-zA-Z0-9-]/.test(next)) return { kind: "rule", name: this.#name() };
    return undefined;
  }

  #literal(): Node {
    const start = this.#at++;
    let count = 0;
    while (!this.#take('"')) {
      this.#character();
      count += 1;
    }
    return { kind: "characters", count, text: this.#text.slice(start, this.#at) };
  }

  #characterClass(): Node {
    const start = this.#at++;
    this.#take("^");
    let count = 0;
    while (!this.#take("]")) {
      this.#character();
      if (this.#text[this.#at] === "-" && this.#text[this.#at + 1] !== "]") {
        this.#at += 1;
        this.#character();
      }
      count += 1;
    }
    if (count === 0) throw this.#fault("an empty character class matches nothing");
    return { kind: "characters", count: 1, text: this.#text.slice(start, this.#at) };
  }

  #group(): Node {
    this.#at += 1;
    this.#depth += 1;
    if (this.#depth > MAX_DEPTH) throw this.#fault(`groups are nested deeper than ${MAX_DEPTH}`);
    this.#skip(true);
    const inner = this.#choice();
    if (!this.#take(")")) throw this.#fault("')' was expected");
    this.#depth -= 1;
    return inner;
  }

  #repetition(): { least: number; most: number } | undefined {
    if (this.#take("*")) return { least: 0, most: Infinity };
    if (this.#take("+")) return { least: 1, most: Infinity };
    if (this.#take("?")) return { least: 0, most: 1 };
    if (this.#text[this.#at] !== "{") return undefined;
    const found = this.#match(/\{\s*(\d{1,9})\s*(?:(,)\s*(\d{1,9})?\s*)?\}/y);
    if (found === undefined) throw this.#fault("expected {m}, {m,} or {m,n}");
    const least = Number(found[1]);
    const most = found[3] === undefined ? (found[2] === undefined ? least : Infinity) : Number(found[3]);
    if (most < least) throw this.#fault("a repetition's upper bound is below its lower one");
    if (Math.max(least, most === Infinity ? 0 : most) > MAX_REPETITIONS) {
      throw this.#fault(`more than ${MAX_REPETITIONS} repetitions`);
    }
    return { least, most };
  }

  #character(): void {
    const escape = /\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[tnr\\"[\]])/y;
    if (this.#text[this.#at] === "\\") {
      if (this.#match(escape) === undefined) throw this.#fault("an unknown escape");
      return;
    }
    const point = this.#text.codePointAt(this.#at);
    if (point === undefined) throw this.#fault("a literal or a character class does not end");
    this.#at += point > 0xffff ? 2 : 1;
  }

  #name(): string {
    const found = this.#match(/[a-zA-Z0-9-]+/y);
    if (found === undefined) throw this.#fault("a rule's name was expected");
    return found[0];
  }

  /** Spaces and comments; new lines only where they do not end a rule. */
  #skip(withNewLines: boolean): void {
    for (;;) {
      if (this.#match(withNewLines ? /[ \t\r\n]+/y : /[ \t]+/y) !== undefined) continue;
      if (this.#match(/#[^\r\n]*/y) === undefined) return;
    }
  }

  #take(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found === null) return undefined;
    this.#at = pattern.lastIndex;
    return found;
  }

  #fault(reason: string): CodedError {
    const line = this.#text.slice(0, this.#at).split("\n").length;
    return grammarFault(`${reason} in line ${line}`);
  }
}
