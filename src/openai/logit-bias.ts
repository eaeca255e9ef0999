import * as z from "zod";

import type { LogitBias } from "../domain/generation.ts";

/** More would be a vocabulary of its own. */
const MAX_BIASES = 4096;

const tokenError = { error: "a token's id or a text" };
const token = z.union([z.int(tokenError).min(0, tokenError), z.string(tokenError)], tokenError);

const countError = { error: `an object or an array of at most ${MAX_BIASES} biases` };
/** `{"15043": -100, " Hello": false}` or `[[15043, -100], [" Hello", false]]` → biases. An empty text has no token. */
function logitBiasOf(amount: z.ZodNumber, allowed: string) {
  const error = `${allowed}, or false for never`;
  const value = z.union([amount, z.literal(false, { error })], { error });
  const pair = z.tuple([token, value], { error: "a pair of a token and its bias" });
  const pairs = z.array(pair).max(MAX_BIASES, countError);
  const byName = z.record(z.string(), value).refine((biases) => Object.keys(biases).length <= MAX_BIASES, countError);
  return z
    .union([pairs.transform((list) => list.map(([name, bias]) => toBias(name, bias))), byName.transform(fromNames)], {
      error: "an object of token ids or texts and biases, or an array of such pairs",
    })
    .meta({ description: `token ids or texts, each with ${error}` });
}

const RANGE = "a number between -100 and 100";
/** OpenAI's range. */
export const logitBias = logitBiasOf(
  z.number({ error: RANGE }).min(-100, { error: RANGE }).max(100, { error: RANGE }),
  RANGE,
);

const FINITE = "a finite number";
/** llama.cpp has no range. */
export const nativeLogitBias = logitBiasOf(z.number({ error: FINITE }), FINITE);

function fromNames(biases: Record<string, number | false>): LogitBias[] {
  return Object.entries(biases).map(([name, bias]) => toBias(/^\d{1,10}$/.test(name) ? Number(name) : name, bias));
}

function toBias(name: string | number, bias: number | false): LogitBias {
  const amount = bias === false ? -Infinity : bias;
  return typeof name === "number" ? { token: name, bias: amount } : { text: name, bias: amount };
}
