import { literal } from "../grammar/characters.ts";
import { ID, ID_LENGTH, INDEX } from "./call-syntax.ts";

/** Expressions one after another. */
export function sequence(...parts: readonly string[]): string {
  return parts.filter((part) => part !== "").join(" ");
}

const PLACES: Readonly<Record<string, string>> = {
  " ": "ws",
  [ID]: `[A-Za-z0-9]{${ID_LENGTH}}`,
  [INDEX]: "[0-9]{1,3}",
};

/** A syntax's text as an expression. */
export function toGbnf(text: string): string {
  return text
    .split(new RegExp(`( |${ID}|${INDEX})`))
    .filter((part) => part !== "")
    .map((part) => PLACES[part] ?? literal(part))
    .join(" ");
}
