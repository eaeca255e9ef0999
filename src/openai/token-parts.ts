import { z } from "zod";

const partError = { error: "a token's id or a text" };
/** A text, or a token by its id. */
export const tokenizedPart = z.union([z.string(), z.int(partError).min(0, partError)], partError);

/** Texts and token ids, in order. */
export const tokenizedParts = z.array(tokenizedPart, { error: "an array of strings and token ids" });
