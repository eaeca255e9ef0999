/** Inclusive ranges of code points. */
export type Ranges = readonly (readonly [number, number])[];

const LAST = 0x10ffff;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** Never alone in text, and so never an answer's character. */
const SURROGATES: Ranges = [[0xd800, 0xdfff]];

export function complement(ranges: Ranges): Ranges {
  const free: [number, number][] = [];
  let next = 0;
  for (const [from, to] of ranges.toSorted((a, b) => a[0] - b[0])) {
    if (from > next) free.push([next, from - 1]);
    next = Math.max(next, to + 1);
  }
  if (next <= LAST) free.push([next, LAST]);
  return free;
}

function without(ranges: Ranges, removed: Ranges): Ranges {
  return complement([...complement(ranges), ...removed]);
}

/** One of these characters as it stands inside a JSON string; undefined when there is none. */
export function jsonCharacter(ranges: Ranges): string | undefined {
  const escaped: Ranges = [[0, 0x1f], [QUOTE, QUOTE], [BACKSLASH, BACKSLASH], ...SURROGATES];
  const plain = without(ranges, [...escaped, [0x7f, 0x7f]]);
  const parts = plain.length === 0 ? [] : [classOf(plain)];
  const has = (point: number) => ranges.some(([from, to]) => from <= point && point <= to);
  for (const point of [QUOTE, BACKSLASH, ...Array.from({ length: 0x20 }, (_, control) => control)]) {
    if (has(point)) parts.push(literal(JSON.stringify(String.fromCodePoint(point)).slice(1, -1)));
  }
  return parts.length > 1 ? `(${parts.join(" | ")})` : parts[0];
}

/** One of these characters as it stands in text without quotes, in which `<` begins a closing word; undefined when there is none. */
export function rawCharacter(ranges: Ranges): string | undefined {
  const plain = without(ranges, [[0x3c, 0x3c], ...SURROGATES]);
  return plain.length === 0 ? undefined : classOf(plain);
}

/** Text as a literal of a grammar. */
export function literal(text: string): string {
  let body = "";
  for (const character of text) {
    const point = character.codePointAt(0)!;
    body += point >= 0x20 && point < 0x7f && point !== QUOTE && point !== BACKSLASH ? character : hex(point);
  }
  return `"${body}"`;
}

function classOf(ranges: Ranges): string {
  return `[${ranges.map(([a, b]) => (a === b ? hex(a) : `${hex(a)}-${hex(b)}`)).join("")}]`;
}

function hex(point: number): string {
  if (point > 0xffff) return `\\U${point.toString(16).padStart(8, "0")}`;
  return point > 0xff ? `\\u${point.toString(16).padStart(4, "0")}` : `\\x${point.toString(16).padStart(2, "0")}`;
}
