import { freeTextRules } from "./free-text.ts";
import { isRemark } from "./schema-facts.ts";
import type { Schema } from "./schema-merge.ts";

/** How a member's value is written: as JSON, as a string's bare text, or as that or the word `null`. */
export type ValueForm = "json" | "raw" | "raw-or-null";

/** The rule that reads text up to a word, and the word itself. */
export const RAW_TEXT = "raw-0";

/** Rules of text that ends with `end`, which does not stand in it. */
export function rawTextRules(end: string): string[] {
  return freeTextRules({ name: "raw", words: [{ word: end, follow: "" }], canEnd: false });
}

/** What a string without quotes may be. */
export interface RawString {
  readonly isNullable: boolean;
  /** One of these, or what fits the schema. */
  readonly values: readonly string[] | undefined;
  readonly schema: Schema;
}

const COMBINATIONS = ["$ref", "allOf", "anyOf", "oneOf"];
const BOUNDS = ["pattern", "format", "minLength", "maxLength"];
/** Half a character, which no text holds. */
const HALF = /[\ud800-\udfff]/u;

/**
 * Whether all values of a schema are strings that can be told from their text alone, or `null`; undefined where not: a
 * number or a list beside a string, the string "null" beside `null`, or a value that holds the word that ends it.
 */
export function asRawString(
  schema: unknown,
  end: string,
  lookUp: (reference: unknown) => unknown,
): RawString | undefined {
  const { target, isNullable } = withoutNull(follow(schema, lookUp), lookUp);
  if (target === undefined || hasSome(target, COMBINATIONS)) return undefined;
  const { type, const: constant, enum: listed = constant === undefined ? undefined : [constant] } = target;
  if (listed === undefined) return type === "string" ? { isNullable, values: undefined, schema: target } : undefined;
  if (!Array.isArray(listed) || hasSome(target, BOUNDS)) return undefined;
  if (constant !== undefined && target["enum"] !== undefined) return undefined;
  if (type !== undefined && type !== "string") return undefined;
  const hasNull = type === undefined && listed.includes(null);
  const values = listed.filter((value) => value !== null);
  const isRaw = (value: unknown) =>
    typeof value === "string" && (value + end).indexOf(end) === value.length && !HALF.test(value);
  if (values.length === 0 || !values.every(isRaw)) return undefined;
  if ((isNullable || hasNull) && values.includes("null")) return undefined;
  return { isNullable: isNullable || hasNull, values, schema: target };
}

/** Through references with nothing beside them. */
function follow(schema: unknown, lookUp: (reference: unknown) => unknown): Schema | undefined {
  let target = schema;
  for (let steps = 0; steps < 16; steps++) {
    if (typeof target !== "object" || target === null || Array.isArray(target)) return undefined;
    const { $ref: reference, allOf, ...rest } = target as Schema;
    if (reference === undefined && allOf === undefined) return target as Schema;
    if (!hasOnly(rest, new Set())) return undefined;
    if (reference !== undefined && allOf !== undefined) return undefined;
    if (reference !== undefined) target = lookUp(reference);
    else if (Array.isArray(allOf) && allOf.length === 1) target = allOf[0] as unknown;
    else return undefined;
  }
  return undefined;
}

/** A schema and `null` beside it: as one of two types, or of two alternatives. */
function withoutNull(
  schema: Schema | undefined,
  lookUp: (reference: unknown) => unknown,
): { readonly target: Schema | undefined; readonly isNullable: boolean } {
  if (schema === undefined) return { target: undefined, isNullable: false };
  const { type } = schema;
  if (Array.isArray(type) && type.length === 2 && type.includes("null")) {
    return { target: { ...schema, type: type.find((name) => name !== "null") as unknown }, isNullable: true };
  }
  for (const keyword of ["anyOf", "oneOf"]) {
    const branches = schema[keyword];
    if (branches === undefined) continue;
    const others = Array.isArray(branches) ? branches.filter((branch) => !isNull(branch)) : [];
    const isPair = Array.isArray(branches) && branches.length === 2 && others.length === 1;
    const target = isPair && hasOnly(schema, new Set([keyword])) ? follow(others[0], lookUp) : undefined;
    return { target, isNullable: true };
  }
  return { target: schema, isNullable: false };
}

function isNull(schema: unknown): boolean {
  return (Object(schema) as Schema)["type"] === "null" && hasOnly(schema as Schema, new Set(["type"]));
}

function hasSome(schema: Schema, keywords: readonly string[]): boolean {
  return keywords.some((keyword) => schema[keyword] !== undefined);
}

/** No keyword but these and remarks. */
function hasOnly(schema: Schema, keywords: ReadonlySet<string>): boolean {
  return Object.keys(schema).every((key) => keywords.has(key) || isRemark(key));
}
