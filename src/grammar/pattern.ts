import { complement, type Ranges } from "./characters.ts";
import { MAX_REPETITIONS } from "./gbnf-syntax.ts";

/** A pattern beyond the subset: it cannot be enforced. */
export class PatternFault extends Error {}

const DIGIT: Ranges = [[0x30, 0x39]];
const WORD: Ranges = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
];
const SPACE: Ranges = [
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x2028, 0x2029],
];
/** Spaces that are rare in answers stay out of \s, but \S must not have them. */
const ANY_SPACE: Ranges = [
  ...SPACE,
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
];
const DOT = complement([
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
]);
const CLASSES: Readonly<Record<string, Ranges>> = {
  d: DIGIT,
  D: complement(DIGIT),
  w: WORD,
  W: complement(WORD),
  s: SPACE,
  S: complement(ANY_SPACE),
};
const CONTROLS: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13, "0": 0 };
const MAX_LENGTH = 1000;
const MAX_DEPTH = 16;

interface Piece {
  readonly grammar: string;
  readonly least: number;
  readonly most: number;
}

/**
 * A regular expression over a string's characters → the grammar of its text in a notation, JSON's without quotes or
 * another, and how long the string can be. Subset: characters, classes, groups, alternatives, repetitions, and anchors at both ends of the whole
 * or of its alternatives.
 * Errors: PatternFault.
 */
export function patternToGrammar(source: string, notation: PatternNotation): Piece {
  if (source.length > MAX_LENGTH) throw new PatternFault("it is too long");
  if (!isRegExp(source)) throw new PatternFault("it is not a regular expression");
  return new PatternParser(Array.from(source), notation).parse();
}

export interface PatternNotation {
  /** The grammar of any character, for the sides that are not anchored. */
  readonly any: string;
  /** That of one of some characters; undefined where none can be written. */
  readonly character: (ranges: Ranges) => string | undefined;
}

function isRegExp(source: string): boolean {
  try {
    return new RegExp(source, "u").unicode;
  } catch {
    return false;
  }
}

class PatternParser {
  readonly #text: readonly string[];
  readonly #notation: PatternNotation;
  #at = 0;
  #depth = 0;

  constructor(text: readonly string[], notation: PatternNotation) {
    this.#text = text;
    this.#notation = notation;
  }

  parse(): Piece {
    const branches: Piece[] = [];
    do {
      const start = this.#take("^");
      const inner = this.#sequence();
      const end = this.#take("$");
      const sides: Piece = { grammar: `${this.#notation.any}*`, least: 0, most: Infinity };
      branches.push(sequenceOf([...(start ? [] : [sides]), inner, ...(end ? [] : [sides])]));
    } while (this.#take("|"));
    if (this.#at < this.#text.length) throw new PatternFault("an anchor stands inside");
    return choiceOf(branches);
  }

  #alternatives(): Piece {
    const branches = [this.#sequence()];
    while (this.#take("|")) branches.push(this.#sequence());
    return choiceOf(branches);
  }

  #sequence(): Piece {
    const pieces: Piece[] = [];
    for (let next = this.#text[this.#at]; next !== undefined && !"|)$".includes(next); next = this.#text[this.#at]) {
      pieces.push(this.#repeated(this.#atom()));
    }
    return sequenceOf(pieces);
  }

  #atom(): Piece {
    const next = this.#text[this.#at++]!;
    if (next === "(") return this.#group();
    if (next === "[") return this.#characters(this.#class());
    if (next === ".") return this.#characters(DOT);
    if (next === "^") throw new PatternFault("an anchor stands inside");
    return this.#characters(next === "\\" ? this.#escape() : single(next));
  }

  #characters(ranges: Ranges): Piece {
    const grammar = this.#notation.character(ranges);
    if (grammar === undefined) throw new PatternFault("a class has no character");
    return { grammar, least: 1, most: 1 };
  }

  #group(): Piece {
    if (++this.#depth > MAX_DEPTH) throw new PatternFault("its groups are nested too deep");
    if (this.#take("?") && !this.#take(":")) throw new PatternFault("only plain groups can be enforced");
    // The anchors of `(^a$)` and `^(a|b$)` would need to know the outside.
    const inner = this.#alternatives();
    if (!this.#take(")")) throw new PatternFault("an anchor stands inside a group");
    this.#depth -= 1;
    return inner;
  }

  #escape(): Ranges {
    const next = this.#text[this.#at++] ?? "";
    const named = CLASSES[next];
    if (named !== undefined) return named;
    const control = CONTROLS[next];
    if (control !== undefined) return [[control, control]];
    if (next === "x") return this.#hex(2);
    if (next === "u") return this.#take("{") ? this.#braced() : this.#hex(4);
    if (/[a-zA-Z1-9]/.test(next)) throw new PatternFault(`\\${next} cannot be enforced`);
    return single(next);
  }

  #hex(length: number): Ranges {
    const point = Number.parseInt(this.#text.slice(this.#at, this.#at + length).join(""), 16);
    this.#at += length;
    if (point >= 0xd800 && point <= 0xdfff) throw new PatternFault("half a character cannot be enforced");
    return [[point, point]];
  }

  #braced(): Ranges {
    const end = this.#text.indexOf("}", this.#at);
    const point = Number.parseInt(this.#text.slice(this.#at, end).join(""), 16);
    this.#at = end + 1;
    return [[point, point]];
  }

  #class(): Ranges {
    const negated = this.#take("^");
    const ranges: (readonly [number, number])[] = [];
    while (!this.#take("]")) {
      const from = this.#classMember();
      if (this.#text[this.#at] === "-" && this.#text[this.#at + 1] !== "]") {
        this.#at += 1;
        ranges.push([from[0]![0], this.#classMember()[0]![1]]);
      } else ranges.push(...from);
    }
    return negated ? complement(ranges) : ranges;
  }

  #classMember(): Ranges {
    const next = this.#text[this.#at++]!;
    if (next === "\\" && this.#take("b")) return [[8, 8]];
    return next === "\\" ? this.#escape() : single(next);
  }

  #repeated(piece: Piece): Piece {
    const next = this.#text[this.#at] ?? "";
    if (!"*+?{".includes(next) || next === "") return piece;
    const end = next === "{" ? this.#text.indexOf("}", this.#at) : this.#at;
    const quantifier = this.#text.slice(this.#at, end + 1).join("");
    this.#at = end + 1;
    // Lazy or not, the same texts match.
    this.#take("?");
    const [least, most] = boundsOf(quantifier);
    if (least > MAX_REPETITIONS || (most !== Infinity && most > MAX_REPETITIONS)) {
      throw new PatternFault("it repeats too often");
    }
    if (piece.least === 0 && most > 1) throw new PatternFault("it repeats what can be empty");
    if (most === 0) return sequenceOf([]);
    return {
      grammar: `(${piece.grammar})${quantifier}`,
      least: piece.least * least,
      most: piece.most * most,
    };
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }
}

function boundsOf(quantifier: string): [number, number] {
  if (quantifier === "*") return [0, Infinity];
  if (quantifier === "+") return [1, Infinity];
  if (quantifier === "?") return [0, 1];
  const [least, most] = quantifier.slice(1, -1).split(",");
  return [Number(least), most === undefined ? Number(least) : most === "" ? Infinity : Number(most)];
}

function single(character: string): Ranges {
  const point = character.codePointAt(0)!;
  return [[point, point]];
}

function sequenceOf(pieces: readonly Piece[]): Piece {
  return {
    grammar: pieces.length === 0 ? `""` : pieces.map(({ grammar }) => grammar).join(" "),
    least: pieces.reduce((sum, { least }) => sum + least, 0),
    most: pieces.reduce((sum, { most }) => sum + most, 0),
  };
}

function choiceOf(branches: readonly Piece[]): Piece {
  if (branches.length === 1) return branches[0]!;
  return {
    grammar: `(${branches.map(({ grammar }) => grammar).join(" | ")})`,
    least: Math.min(...branches.map(({ least }) => least)),
    most: Math.max(...branches.map(({ most }) => most)),
  };
}
