import * as z from "zod";

import type { TokenizedParts } from "../domain/generation.ts";

const partError = { error: "a token's id or a text" };
/** A text, or a token by its id. */
export const tokenizedPart = z.union([z.string(), z.int(partError).min(0, partError)], partError);

/** Texts and token ids, in order. */
export const tokenizedParts = z.array(tokenizedPart, { error: "an array of strings and token ids" });

const listError = { error: "a string, an array of strings, an array of token ids, or an array of such arrays" };
const innerParts = tokenizedParts.min(1, listError);
const list = z.array(z.union([tokenizedPart, innerParts], listError), listError).min(1, listError);

/** One text or several, each as texts and token ids in order. */
export function textList(most: number, noun: string) {
  return z
    .union([z.string(), list], listError)
    .transform(toTexts)
    .refine((texts) => texts.length <= most, { error: `at most ${most} ${noun}` });
}

/** A flat array with a number in it is one text; of strings alone, each is a text. */
function toTexts(given: string | z.output<typeof list>): readonly TokenizedParts[] {
  if (typeof given === "string") return [[given]];
  if (given.some((item) => typeof item === "number") && given.every((item) => !Array.isArray(item))) {
    return [given as TokenizedParts];
  }
  return given.map((item) => (Array.isArray(item) ? item : [item]));
}
