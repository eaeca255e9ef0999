import { z } from "zod";

import type { LogitBias } from "../domain/generation.ts";

/** More would be a vocabulary of its own. */
const MAX_BIASES = 4096;

const valueError = { error: "a number between -100 and 100, or false for never" };
const value = z.union([z.number(valueError).min(-100, valueError).max(100, valueError), z.literal(false)], valueError);

const tokenError = { error: "a token's id or a text" };
const token = z.union([z.int(tokenError).min(0, tokenError), z.string(tokenError)], tokenError);

const countError = { error: `an object or an array of at most ${MAX_BIASES} biases` };
const pairs = z.array(z.tuple([token, value], { error: "a pair of a token and its bias" })).max(MAX_BIASES, countError);
const byName = z.record(z.string(), value).refine((biases) => Object.keys(biases).length <= MAX_BIASES, countError);

/** `{"15043": -100, " Hello": false}` or `[[15043, -100], [" Hello", false]]` → biases. An empty text has no token. */
export const logitBias = z
  .union([pairs.transform((list) => list.map(([name, bias]) => toBias(name, bias))), byName.transform(fromNames)], {
    error: "an object of token ids or texts and biases, or an array of such pairs",
  })
  .meta({ description: "token ids or texts, each with a bias between -100 and 100, or false for never" });

function fromNames(biases: Record<string, number | false>): LogitBias[] {
  return Object.entries(biases).map(([name, bias]) => toBias(/^\d{1,10}$/.test(name) ? Number(name) : name, bias));
}

function toBias(name: string | number, bias: number | false): LogitBias {
  const amount = bias === false ? -Infinity : bias;
  return typeof name === "number" ? { token: name, bias: amount } : { text: name, bias: amount };
}
