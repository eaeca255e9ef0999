/**
 * How a model writes calls. In all texts a space stands for white space that may be there or not, and `ID` for an id of
 * nine letters and digits.
 */
export interface CallSyntax {
  /** Once, before the first call and after the last. */
  readonly section: readonly [before: string, after: string];
  /** Around the name and the arguments, which are a JSON object. */
  readonly call: readonly [beforeName: string, beforeArguments: string, after: string];
  readonly between: string;
  /** Calls stand at the beginning of an answer only, so that their first words may be text elsewhere. */
  readonly onlyAtStart?: boolean;
  /** The format has one call in an answer, whatever the request allows. */
  readonly single?: boolean;
  /** Words of the texts above that are control tokens in some vocabularies. */
  readonly controlTokens: readonly string[];
}

/** Stands for an id in a syntax's texts. */
export const ID = "\uE000";
export const ID_LENGTH = 9;

/** What a call begins with, up to its name; the first in an answer, or one after another. */
export function openingOf({ section, call, between }: CallSyntax, isFirst: boolean): string {
  return (isFirst ? section[0] : between) + call[0];
}

/** The word by which calls are noticed in text; what follows it is a call or nothing. */
export function triggerOf(syntax: CallSyntax): string {
  const opening = openingOf(syntax, true);
  return syntax.controlTokens.find((token) => opening.startsWith(token)) ?? opening.split(" ", 1)[0]!;
}

export type Match =
  | { readonly state: "yes"; readonly end: number; readonly name: string }
  /** The text ends too early to say. */
  | { readonly state: "maybe" }
  | { readonly state: "no" };

const SPACE = /\s/;
const NAME = /[A-Za-z0-9_-]/;
const ID_CHARACTER = /[A-Za-z0-9]/;

/** Whether a call begins at a place in a text: its opening, its name, and what stands before its arguments. */
export function matchCall(syntax: CallSyntax, isFirst: boolean, text: string, from: number): Match {
  const opening = skip(openingOf(syntax, isFirst), text, from);
  if (typeof opening === "string") return { state: opening };
  let end = opening;
  while (end < text.length && NAME.test(text[end]!)) end += 1;
  if (end === text.length) return { state: "maybe" };
  const rest = skip(syntax.call[1], text, end);
  if (typeof rest === "string") return { state: rest };
  return end === opening ? { state: "no" } : { state: "yes", end: rest, name: text.slice(opening, end) };
}

/** The place after a syntax's text. */
function skip(expected: string, text: string, from: number): number | "maybe" | "no" {
  let at = from;
  for (const character of expected) {
    if (character === " ") {
      while (at < text.length && SPACE.test(text[at]!)) at += 1;
    } else if (character === ID) {
      for (let count = 0; count < ID_LENGTH; count++, at++) {
        if (at >= text.length) return "maybe";
        if (!ID_CHARACTER.test(text[at]!)) return "no";
      }
    } else {
      if (at >= text.length) return "maybe";
      if (!text.startsWith(character, at)) return "no";
      at += character.length;
    }
  }
  return at;
}
