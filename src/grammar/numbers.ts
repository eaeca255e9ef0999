/** Digits of numbers without bounds: enough, and exact in a double. */
const MAX_INTEGER = 999_999_999_999_999n;

/** Bounds of a number; exclusive bounds stand beside inclusive ones as in JSON Schema. */
export interface NumberBounds {
  readonly minimum?: number | undefined;
  readonly maximum?: number | undefined;
  readonly exclusiveMinimum?: number | undefined;
  readonly exclusiveMaximum?: number | undefined;
}

export const INTEGER = `"-"? ("0" | [1-9] [0-9]{0,14})`;
export const NUMBER = `"-"? ("0" | [1-9] [0-9]{0,14}) ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?`;

/** The integers between the bounds; undefined when there are none. */
export function integersBetween(bounds: NumberBounds): string | undefined {
  const low = lowestInteger(bounds);
  const high = highestInteger(bounds);
  if (low === undefined && high === undefined) return INTEGER;
  return signedRange(low ?? lessOf(-MAX_INTEGER, high!), high ?? moreOf(MAX_INTEGER, low!));
}

/**
 * Decimal numbers between the bounds: those with a whole part that leaves room for any fraction, and those between an
 * exclusive bound and its neighbour. Undefined when there are none of these (as between 0.2 and 0.3).
 */
export function numbersBetween(bounds: NumberBounds): string | undefined {
  const lowest = lowestInteger(bounds);
  const highest = highestInteger(bounds);
  if (lowest === undefined && highest === undefined) return NUMBER;
  const low = lowest ?? lessOf(-MAX_INTEGER, highest!);
  const high = highest ?? moreOf(MAX_INTEGER, lowest!);
  const parts = [signedRange(low, high)];
  const fraction = `("." [0-9]{1,15})?`;
  // A fraction leads away from zero, so the outermost whole number has none.
  if (high > 0n) parts.push(unsigned(low > 0n ? low : 0n, high - 1n, fraction, ""));
  if (low < 0n) parts.push(unsigned(high < 0n ? -high : 0n, -low - 1n, fraction, "-"));
  const { exclusiveMinimum, exclusiveMaximum } = bounds;
  const above = `"." [0-9]{0,6} [1-9]`;
  if (exclusiveMinimum !== undefined && Number.isSafeInteger(exclusiveMinimum) && exclusiveMinimum >= 0) {
    const start = BigInt(exclusiveMinimum);
    if (fitsAbove(exclusiveMinimum, bounds)) parts.push(`"${start}" ${above}`);
  }
  if (exclusiveMaximum !== undefined && Number.isSafeInteger(exclusiveMaximum) && exclusiveMaximum <= 0) {
    const start = BigInt(-exclusiveMaximum);
    if (fitsAbove(-exclusiveMaximum, mirror(bounds))) parts.push(`"-${start}" ${above}`);
  }
  return join(parts);
}

function fitsAbove(start: number, bounds: NumberBounds): boolean {
  const most = Math.min(bounds.maximum ?? Infinity, bounds.exclusiveMaximum ?? Infinity);
  const least = bounds.minimum ?? -Infinity;
  return least <= start && most >= start + 1;
}

function mirror(bounds: NumberBounds): NumberBounds {
  const negative = (bound: number | undefined) => (bound === undefined ? undefined : -bound);
  return {
    minimum: negative(bounds.maximum),
    maximum: negative(bounds.minimum),
    exclusiveMinimum: negative(bounds.exclusiveMaximum),
    exclusiveMaximum: negative(bounds.exclusiveMinimum),
  };
}

function lowestInteger({ minimum, exclusiveMinimum }: NumberBounds): bigint | undefined {
  const least = [];
  if (minimum !== undefined) least.push(Math.ceil(minimum));
  if (exclusiveMinimum !== undefined) least.push(Math.floor(exclusiveMinimum) + 1);
  return least.length === 0 ? undefined : clamp(Math.max(...least));
}

function highestInteger({ maximum, exclusiveMaximum }: NumberBounds): bigint | undefined {
  const most = [];
  if (maximum !== undefined) most.push(Math.floor(maximum));
  if (exclusiveMaximum !== undefined) most.push(Math.ceil(exclusiveMaximum) - 1);
  return most.length === 0 ? undefined : clamp(Math.min(...most));
}

/** Beyond the doubles that are exact, only the side matters. */
function clamp(bound: number): bigint {
  return BigInt(Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, bound)));
}

const lessOf = (a: bigint, b: bigint) => (a < b ? a : b);
const moreOf = (a: bigint, b: bigint) => (a > b ? a : b);

function signedRange(low: bigint, high: bigint): string | undefined {
  const parts: (string | undefined)[] = [];
  if (low < 0n) parts.push(unsigned(high < 0n ? -high : 1n, -low, "", "-"));
  if (high >= 0n) parts.push(unsigned(low > 0n ? low : 0n, high, "", ""));
  return join(parts);
}

function unsigned(low: bigint, high: bigint, suffix: string, sign: string): string | undefined {
  if (low > high) return undefined;
  const parts: string[] = [];
  for (let digits = String(low).length; digits <= String(high).length; digits++) {
    const first = moreOf(low, digits === 1 ? 0n : 10n ** BigInt(digits - 1));
    const last = lessOf(high, 10n ** BigInt(digits) - 1n);
    parts.push(sameLength(String(first), String(last)));
  }
  return [sign && `"${sign}"`, `(${parts.join(" | ")})`, suffix].filter((part) => part !== "").join(" ");
}

/** Digit strings of one length from `low` to `high`. */
function sameLength(low: string, high: string): string {
  if (low === "") return "";
  if (low === high) return `"${low}"`;
  if (/^0+$/.test(low) && /^9+$/.test(high)) return digits(low.length);
  const [a, b] = [Number(low[0]), Number(high[0])];
  const rest = low.length - 1;
  if (a === b) return `"${a}" (${sameLength(low.slice(1), high.slice(1))})`;
  const parts: string[] = [];
  const fullLow = /^0*$/.test(low.slice(1));
  const fullHigh = /^9*$/.test(high.slice(1));
  if (!fullLow) parts.push(`"${a}" (${sameLength(low.slice(1), "9".repeat(rest))})`);
  const [from, to] = [fullLow ? a : a + 1, fullHigh ? b : b - 1];
  if (from <= to) parts.push(`${from === to ? `"${from}"` : `[${from}-${to}]`}${rest === 0 ? "" : ` ${digits(rest)}`}`);
  if (!fullHigh) parts.push(`"${b}" (${sameLength("0".repeat(rest), high.slice(1))})`);
  return parts.join(" | ");
}

const digits = (count: number) => (count === 1 ? "[0-9]" : `[0-9]{${count}}`);

function join(parts: readonly (string | undefined)[]): string | undefined {
  const present = parts.filter((part) => part !== undefined);
  return present.length === 0 ? undefined : present.join(" | ");
}
