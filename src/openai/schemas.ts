import * as z from "zod";

/**
 * The pieces that request fields are made of. A schema's error text is the phrase that follows "expected" in a
 * refusal; `refusal.ts` writes the sentence around it.
 */
export function number(min: number, max: number) {
  const error = `a number between ${min} and ${max}`;
  return z.number({ error }).min(min, { error }).max(max, { error });
}

export function numberAbove(min: number) {
  const error = `a number above ${min}`;
  return z.number({ error }).gt(min, { error });
}

export function integer(min: number, max: number = Number.MAX_SAFE_INTEGER) {
  const error =
    max === Number.MAX_SAFE_INTEGER ? `an integer of at least ${min}` : `an integer between ${min} and ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
}

export function boolean() {
  return z.boolean({ error: "true or false" });
}

export function string() {
  return z.string({ error: "a string" });
}

/** A name that APIs allow for tools and schemas. */
export function identifier(most = 64) {
  const error = `1 to ${most} characters of A-Z, a-z, 0-9, _ and -`;
  return z.string({ error }).regex(new RegExp(`^[A-Za-z0-9_-]{1,${most}}$`), { error });
}

export function oneOf<const Values extends readonly [string, ...string[]]>(...values: Values) {
  return z.enum(values, { error: `one of ${values.map((value) => `"${value}"`).join(", ")}` });
}

export function object() {
  return z.record(z.string(), z.unknown(), { error: "an object" });
}

export function array() {
  return z.array(z.unknown(), { error: "an array" });
}

/** May be left out or null, which are the same. */
export function nullable<Schema extends z.ZodType>(schema: Schema) {
  return schema.nullish().transform((value) => value ?? undefined);
}

export type UnsupportedCode = "unsupported_parameter" | "unsupported_value";

/** Refuses, with a code of its own, what is well formed but not done here. `lack` completes "'x' is not …: ". */
export function supportedOnly<Schema extends z.ZodType>(
  schema: Schema,
  isSupported: (value: z.output<Schema>) => boolean,
  lack: string,
  code: UnsupportedCode = "unsupported_value",
): Schema {
  return schema.refine((value) => isSupported(value), { error: lack, params: { code }, abort: true });
}
