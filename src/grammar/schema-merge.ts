export type Schema = Readonly<Record<string, unknown>>;
export type AnySchema = Schema | boolean;

/** Alternatives of alternatives multiply. */
const MAX_BRANCHES = 256;

/** A combination too large to write out. */
export class TooLarge extends Error {}

const ANNOTATIONS = new Set([
  "title",
  "description",
  "default",
  "examples",
  "$comment",
  "deprecated",
  "$id",
  "$schema",
]);
const DEFINITIONS = new Set(["$defs", "definitions"]);

/** A schema for what fits both. `cannot` is told of keywords that have no common form here; the first then stays. */
export function mergeSchemas(a: Schema, b: Schema, cannot: (keyword: string) => void): Schema {
  const merged: Record<string, unknown> = { ...a, ...mergeProperties(a, b) };
  for (const [keyword, value] of Object.entries(b)) {
    if (keyword === "properties" || keyword === "additionalProperties" || DEFINITIONS.has(keyword)) continue;
    const other = a[keyword];
    merged[keyword] = other === undefined ? value : mergeKeyword(keyword, other, value, cannot);
  }
  return merged;
}

function mergeKeyword(keyword: string, a: unknown, b: unknown, cannot: (keyword: string) => void): unknown {
  switch (keyword) {
    case "type":
      return commonTypes([a].flat(), [b].flat());
    case "required":
      return [...new Set([...asArray(a), ...asArray(b)])];
    case "enum": {
      const texts = new Set(asArray(b).map((value) => JSON.stringify(value)));
      return asArray(a).filter((value) => texts.has(JSON.stringify(value)));
    }
    case "minimum":
    case "exclusiveMinimum":
    case "minLength":
    case "minItems":
    case "minProperties":
      return Math.max(Number(a), Number(b));
    case "maximum":
    case "exclusiveMaximum":
    case "maxLength":
    case "maxItems":
    case "maxProperties":
      return Math.min(Number(a), Number(b));
    case "items":
      return { allOf: [a, b] };
    case "anyOf":
    case "oneOf":
      if (asArray(a).length * asArray(b).length > MAX_BRANCHES) throw new TooLarge();
      return asArray(a).flatMap((left) => asArray(b).map((right) => ({ allOf: [left, right] })));
    case "allOf":
      return [...asArray(a), ...asArray(b)];
    default:
      if (!ANNOTATIONS.has(keyword) && JSON.stringify(a) !== JSON.stringify(b)) cannot(keyword);
      return a;
  }
}

/** What one side says of additional properties holds for those that only the other names. */
function mergeProperties(a: Schema, b: Schema): Schema {
  const [left, right] = [propertiesOf(a), propertiesOf(b)];
  const merged = new Map<string, unknown>();
  for (const name of new Set([...left.keys(), ...right.keys()])) {
    const both = [left.get(name) ?? a["additionalProperties"], right.get(name) ?? b["additionalProperties"]];
    const given = both.filter((schema) => schema !== undefined && schema !== true);
    merged.set(name, given.length === 1 ? given[0] : { allOf: given });
  }
  const additional = [a["additionalProperties"], b["additionalProperties"]].filter((schema) => schema !== undefined);
  return {
    ...(merged.size > 0 && { properties: Object.fromEntries(merged) }),
    ...(additional.length > 0 && {
      additionalProperties:
        additional.length === 1 ? additional[0] : additional.includes(false) ? false : { allOf: additional },
    }),
  };
}

function propertiesOf(schema: Schema): Map<string, unknown> {
  const properties = schema["properties"];
  return new Map(typeof properties === "object" && properties !== null ? Object.entries(properties) : []);
}

function commonTypes(a: readonly unknown[], b: readonly unknown[]): unknown[] {
  return [...a, ...b].filter((type, index, all) => {
    const inBoth = [a, b].every((side) => side.includes(type) || (type === "integer" && side.includes("number")));
    return inBoth && all.indexOf(type) === index;
  });
}

function asArray(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
