/**
 * How a model writes calls. In all texts a space stands for white space that may be there or not, `ID` for an id of
 * nine letters and digits, and `INDEX` for a number.
 */
export interface CallSyntax {
  /** Once, before the first call and after the last. */
  readonly section: readonly [before: string, after: string];
  /** Around the name and the arguments, which are a JSON object unless `arguments` says otherwise. */
  readonly call: readonly [beforeName: string, beforeArguments: string, after: string];
  readonly between: string;
  /** Calls stand at the beginning of an answer only, so that their first words may be text elsewhere. */
  readonly onlyAtStart?: boolean;
  /** The format has one call in an answer, whatever the request allows. */
  readonly single?: boolean;
  /** Arguments stand one by one between words. */
  readonly arguments?: TaggedArguments;
  /** Words of the texts above that are control tokens in some vocabularies. */
  readonly controlTokens: readonly string[];
}

/** One argument is `before`, its name, `between`, its value, `end` and `after`. */
export interface TaggedArguments {
  readonly before: string;
  /** Its first character stands in no name. */
  readonly between: string;
  /** A string stands as bare text up to it, so it has no optional white space. */
  readonly end: string;
  /** White space only. */
  readonly after: string;
}

/** Stands for an id in a syntax's texts. */
export const ID = "\uE000";
export const ID_LENGTH = 9;
/** Stands for a number of one to three digits. */
export const INDEX = "\uE001";

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
const DIGIT = /[0-9]/;

/** Whether a call begins at a place in a text: its opening, its name, and what stands before its arguments. */
export function matchCall(syntax: CallSyntax, isFirst: boolean, text: string, from: number): Match {
  const opening = endOf(openingOf(syntax, isFirst), text, from);
  if (typeof opening === "string") return { state: opening };
  let end = opening;
  while (end < text.length && NAME.test(text[end]!)) end += 1;
  if (end === text.length) return { state: "maybe" };
  const rest = endOf(syntax.call[1], text, end);
  if (typeof rest === "string") return { state: rest };
  return end === opening ? { state: "no" } : { state: "yes", end: rest, name: text.slice(opening, end) };
}

/** The place after a syntax's text that begins at a place; `maybe` where a text ends too early to say. */
export function endOf(expected: string, text: string, from: number): number | "maybe" | "no" {
  let at = from;
  for (const character of expected) {
    if (character === " ") {
      while (at < text.length && SPACE.test(text[at]!)) at += 1;
    } else if (character === ID) {
      for (let count = 0; count < ID_LENGTH; count++, at++) {
        if (at >= text.length) return "maybe";
        if (!ID_CHARACTER.test(text[at]!)) return "no";
      }
    } else if (character === INDEX) {
      const start = at;
      while (at < text.length && at - start < 3 && DIGIT.test(text[at]!)) at += 1;
      if (at === text.length) return "maybe";
      if (at === start) return "no";
    } else {
      if (at >= text.length) return "maybe";
      if (!text.startsWith(character, at)) return "no";
      at += character.length;
    }
  }
  return at;
}

/** Characters at a text's end with which a word may begin. */
export function openEnd(text: string, word: string): number {
  for (let length = Math.min(word.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(word.slice(0, length))) return length;
  }
  return 0;
}
