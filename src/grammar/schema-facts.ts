import type { AnySchema, Schema } from "./schema-merge.ts";

export const TYPES: ReadonlySet<string> = new Set([
  "object",
  "array",
  "string",
  "integer",
  "number",
  "boolean",
  "null",
]);

const HINTS: readonly (readonly [string, readonly string[]])[] = [
  ["object", ["properties", "required", "additionalProperties", "minProperties", "maxProperties"]],
  ["array", ["items", "prefixItems", "minItems", "maxItems", "additionalItems"]],
  ["string", ["minLength", "maxLength", "pattern", "format"]],
  ["number", ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]],
];

const REMARKS = new Set("title description default examples example $comment $defs definitions $id $schema".split(" "));

/** Keywords that say nothing about which values fit. */
export function isRemark(keyword: string): boolean {
  return REMARKS.has(keyword);
}

/** The types that a schema names, or else the one that its keywords speak of; undefined is any. */
export function typesOf(schema: Schema): readonly string[] | undefined {
  const { type } = schema;
  if (type !== undefined) return [type].flat().map(String);
  const hinted = HINTS.find(([, keywords]) => keywords.some((keyword) => schema[keyword] !== undefined));
  return hinted === undefined ? undefined : [hinted[0]];
}

/** Whether a value of an enumeration fits the keywords beside it: type, bounds and counts. */
export function fits(value: unknown, schema: Schema): boolean {
  const { type } = schema;
  if (type !== undefined && ![type].flat().some((name) => isOfType(value, name))) return false;
  const within = (size: number, least: string, most: string) =>
    size >= Number(schema[least] ?? -Infinity) && size <= Number(schema[most] ?? Infinity);
  if (typeof value === "number") {
    const { exclusiveMinimum: above = -Infinity, exclusiveMaximum: below = Infinity } = schema;
    return within(value, "minimum", "maximum") && value > Number(above) && value < Number(below);
  }
  if (typeof value === "string") return within(Array.from(value).length, "minLength", "maxLength");
  if (Array.isArray(value)) return within(value.length, "minItems", "maxItems");
  if (typeof value !== "object" || value === null) return true;
  const required = Array.isArray(schema["required"]) ? schema["required"] : [];
  return required.every((name) => Object.hasOwn(value, String(name)));
}

function isOfType(value: unknown, type: unknown): boolean {
  if (type === "null") return value === null;
  if (type === "array") return Array.isArray(value);
  if (type === "integer") return Number.isInteger(value);
  if (type === "object") return typeof value === "object" && value !== null && !Array.isArray(value);
  return typeof value === type;
}

/** False where it is certain that no value fits both: other types, other constants, or a property that tells them apart. */
export function canBeBoth(a: AnySchema | undefined, b: AnySchema | undefined): boolean {
  if (a === undefined || b === undefined || a === false || b === false) return false;
  if (a === true || b === true) return true;
  const [values, others] = [valuesOf(a), valuesOf(b)];
  if (values !== undefined && others !== undefined) return values.some((value) => others.includes(value));
  if (values !== undefined) return values.some((value) => fits(JSON.parse(value), b));
  if (others !== undefined) return others.some((value) => fits(JSON.parse(value), a));
  // Only what a schema says by name counts: without a type, any other value fits it.
  const [types, otherTypes] = [a["type"], b["type"]].map((type) => (type === undefined ? [...TYPES] : [type].flat()));
  const isNumber = (type: unknown) => type === "integer" || type === "number";
  const shared = types!.filter((type) =>
    otherTypes!.some((other) => other === type || (isNumber(type) && isNumber(other))),
  );
  if (shared.length !== 1 || shared[0] !== "object") return shared.length > 0;
  return !excludes(a, b) && !excludes(b, a);
}

/** A property that `a` requires and `b` forbids, or that both require with different constants. */
function excludes(a: Schema, b: Schema): boolean {
  const required = Array.isArray(a["required"]) ? a["required"].map(String) : [];
  const [own, other] = [a["properties"], b["properties"]] as (Schema | undefined)[];
  return required.some((name) => {
    const known = other !== undefined && Object.hasOwn(other, name);
    if (!known) return b["additionalProperties"] === false;
    const left = own !== undefined && Object.hasOwn(own, name) ? (own[name] as AnySchema) : true;
    return !canBeBoth(left, other[name] as AnySchema);
  });
}

function valuesOf(schema: Schema): readonly string[] | undefined {
  if (schema["const"] !== undefined) return [JSON.stringify(schema["const"])];
  return Array.isArray(schema["enum"]) ? schema["enum"].map((value) => JSON.stringify(value)) : undefined;
}
