/** Characters of a grammar. Those of larger ones may keep a thousand ways open, and asking would cost more than a pass. */
const LARGEST = 16_384;
/** Two bytes of an interval show that it leaves a choice. */
const OF_EACH_GAP = 2;
/** Tried first, since where these are allowed there mostly is a choice. */
const USUAL = Array.from(`ea0" n,}]\n`, (character) => character.charCodeAt(0));
const ESCAPED = [0x09, 0x0a, 0x0d];
/** Bytes that begin a character of more than one byte. */
const LEADS = Array.from({ length: 0xf4 - 0xc2 + 1 }, (_, index) => 0xc2 + index);

/**
 * Bytes that stand for all others where a grammar is asked what may come next: a grammar tells characters apart only by
 * those that its text names, so of the characters between two of these, two are enough. None for a grammar that is too
 * large to be asked.
 */
export function alphabetOf(grammar: string): readonly number[] {
  if (grammar.length > LARGEST) return [];
  const named = new Set(ESCAPED);
  let isAscii = true;
  for (let index = 0; index < grammar.length; index++) {
    const code = grammar.charCodeAt(index);
    if (code < 0x80) named.add(code);
    else isAscii = false;
  }
  // Characters by their numbers: nobody reads which.
  const hasNumbers = /\\[xuU]/.test(grammar);
  const bytes = new Set(USUAL);
  let gap = 0;
  for (let byte = 0; byte < 0x80; byte++) {
    gap = named.has(byte) ? 0 : gap + 1;
    if (hasNumbers || gap <= OF_EACH_GAP) bytes.add(byte);
  }
  // Elsewhere, only what also allows many other characters allows these.
  if (hasNumbers || !isAscii) for (const lead of LEADS) bytes.add(lead);
  return [...bytes];
}
