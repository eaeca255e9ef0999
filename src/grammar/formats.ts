const YEAR = "[0-9]{4}";
// The 29th of February is left out: it would need to know the year.
const DATE = `${YEAR} "-" (("0" [13578] | "1" [02]) "-" ("0" [1-9] | [12] [0-9] | "3" [01]) | ("0" [469] | "11") "-" ("0" [1-9] | [12] [0-9] | "30") | "02-" ("0" [1-9] | "1" [0-9] | "2" [0-8]))`;
const HOUR = `([01] [0-9] | "2" [0-3])`;
const TIME = `${HOUR} ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,6})? ("Z" | [-+] ${HOUR} ":" [0-5] [0-9])`;
const BYTE = `("25" [0-5] | "2" [0-4] [0-9] | "1" [0-9] [0-9] | [1-9] [0-9] | [0-9])`;
const LABEL = `[a-z0-9] ([a-z0-9-]{0,30} [a-z0-9])?`;

/** Formats of strings as grammars of the text between the quotes. */
export const FORMATS: ReadonlyMap<string, string> = new Map([
  ["date", DATE],
  ["time", TIME],
  ["date-time", `${DATE} "T" ${TIME}`],
  ["uuid", `[0-9a-fA-F]{8} "-" [0-9a-fA-F]{4} "-" [0-9a-fA-F]{4} "-" [0-9a-fA-F]{4} "-" [0-9a-fA-F]{12}`],
  ["ipv4", `${BYTE} "." ${BYTE} "." ${BYTE} "." ${BYTE}`],
  ["email", `[a-z0-9]{1,30} ("." [a-z0-9]{1,30}){0,2} "@" ${LABEL} ("." ${LABEL}){1,2}`],
]);
