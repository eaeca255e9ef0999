import * as z from "zod";

import type { SamplerName } from "../domain/generation.ts";

/** Each with llama.cpp's letter. */
const LETTERS: Readonly<Record<string, SamplerName>> = {
  e: "penalties",
  d: "dry",
  s: "top_n_sigma",
  k: "top_k",
  y: "typ_p",
  p: "top_p",
  m: "min_p",
  x: "xtc",
  t: "temperature",
  a: "adaptive_p",
};

/** llama.cpp's other spellings, beside `top-k` and `topk` for `top_k`. */
const ALIASES: Readonly<Record<string, SamplerName>> = { nucleus: "top_p", temp: "temperature", typ: "typ_p" };

const NAMES = new Map<string, SamplerName>(
  Object.values(LETTERS)
    .flatMap((name): [string, SamplerName][] => [
      [name, name],
      [name.replaceAll("_", "-"), name],
      [name.replaceAll("_", ""), name],
    ])
    .concat(Object.entries(ALIASES)),
);

/** More would only cost time. */
const MAX_SAMPLERS = 64;
const listError = { error: `an array of at most ${MAX_SAMPLERS} sampler names, or a string of their letters` };
const nameError = { error: `one of ${Object.values(LETTERS).join(", ")}` };
const lettersError = { error: `letters of ${Object.keys(LETTERS).join("")}` };
const refused = { params: { code: "invalid_value" } };

/** `["top_k", "temperature"]` or `"kt"` → names. */
export const samplers = z
  .union(
    [
      z
        .array(
          z.string(nameError).refine((name) => NAMES.has(name), { ...nameError, ...refused }),
          listError,
        )
        .max(MAX_SAMPLERS, listError)
        .transform((names) => names.map((name) => NAMES.get(name)!)),
      z
        .string(listError)
        .max(MAX_SAMPLERS, listError)
        .refine((letters) => Array.from(letters).every((letter) => Object.hasOwn(LETTERS, letter)), {
          ...lettersError,
          ...refused,
        })
        .transform((letters) => Array.from(letters, (letter) => LETTERS[letter]!)),
    ],
    listError,
  )
  .meta({ description: "an array of sampler names, or a string of their letters" });
