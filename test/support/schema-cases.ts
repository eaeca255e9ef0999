/** Schemas of every kind that structured answers support: small ones, and each of many inside others. */
type Schema = Readonly<Record<string, unknown>>;

const person: Schema = {
  type: "object",
  properties: { name: { type: "string", maxLength: 12 }, age: { type: "integer", minimum: 0, maximum: 120 } },
  required: ["name", "age"],
  additionalProperties: false,
};

const SMALL: readonly Schema[] = [
  { type: "string", maxLength: 20 },
  { type: "string", minLength: 3, maxLength: 8 },
  { type: "integer" },
  { type: "number" },
  { type: "boolean" },
  { type: "null" },
  { type: ["string", "null"], maxLength: 9 },
  { type: ["integer", "boolean"] },
  { enum: ["red", "green", "blue"] },
  { enum: [1, "two", null, { three: [3] }, [4, '\u00e9"\\\n']] },
  { const: { a: [1, 2, { b: null }] } },
  { type: "string", enum: ["a", 5, "b"] },
  { type: "integer", minimum: 0, maximum: 9 },
  { type: "integer", minimum: -17, maximum: 342 },
  { type: "integer", exclusiveMinimum: 99, exclusiveMaximum: 1001 },
  { type: "integer", minimum: 12345 },
  { type: "integer", maximum: -3 },
  { type: "number", minimum: 0, maximum: 1 },
  { type: "number", exclusiveMinimum: 0, exclusiveMaximum: 1 },
  { type: "number", minimum: -2.5, maximum: 7.25 },
  { type: "string", pattern: "^[A-Z]{2}-[0-9]{3,5}$" },
  { type: "string", pattern: "^(foo|ba[rz])+$", maxLength: 2000 },
  { type: "string", pattern: "[0-9]{2}" },
  { type: "string", pattern: "^\\w+@\\w+\\.(com|org)$" },
  { type: "string", pattern: "^a|z$" },
  { type: "string", pattern: '^["\\\\/\\n][^a-z"]?$' },
  { type: "string", format: "date" },
  { type: "string", format: "time" },
  { type: "string", format: "date-time" },
  { type: "string", format: "uuid" },
  { type: "array", items: { type: "integer" }, minItems: 2, maxItems: 4 },
  { type: "array", items: { type: "string", maxLength: 5 }, maxItems: 3 },
  { type: "array", prefixItems: [{ type: "integer" }, { type: "boolean" }], items: false },
  { type: "array", prefixItems: [{ const: 1 }, { const: 2 }], items: { const: 3 }, minItems: 1, maxItems: 5 },
  { type: "array", items: { enum: [1, 2] }, minItems: 1 },
  person,
  { type: "object", properties: { a: { type: "integer" }, b: { type: "boolean" } } },
  { type: "object", properties: { a: { type: "null" }, b: { const: 2 }, c: { const: 3 } }, required: ["b"] },
  { type: "object", additionalProperties: { type: "integer" }, maxProperties: 3 },
  {
    type: "object",
    properties: { id: { const: 7 }, idea: { const: 8 } },
    required: ["id"],
    additionalProperties: { type: "boolean" },
  },
  { properties: { x: { type: "integer" } }, required: ["x", "y"], additionalProperties: { enum: ["y"] } },
  { anyOf: [{ type: "integer" }, { type: "string", maxLength: 4 }, person] },
  { oneOf: [{ type: "boolean" }, { type: "array", items: { type: "null" }, maxItems: 2 }] },
  {
    oneOf: ["cat", "dog"].map((kind) => ({
      type: "object",
      properties: { kind: { const: kind }, [`${kind}Age`]: { type: "integer", minimum: 1 } },
      required: ["kind", `${kind}Age`],
    })),
  },
  {
    allOf: [person, { type: "object", properties: { name: { minLength: 2 }, age: { maximum: 99 } } }],
  },
  {
    type: "object",
    properties: { k: { const: 1 } },
    required: ["k"],
    anyOf: [{ required: ["l"] }, { required: ["m"] }],
  },
  { $defs: { p: person }, $ref: "#/$defs/p" },
  {
    definitions: {
      node: {
        type: "object",
        properties: { v: { enum: [1, 2] }, next: { anyOf: [{ $ref: "#/definitions/node" }, { type: "null" }] } },
        required: ["v", "next"],
      },
    },
    $ref: "#/definitions/node",
  },
  {
    type: "object",
    properties: { v: { type: "boolean" }, kids: { type: "array", items: { $ref: "#" }, maxItems: 2 } },
    required: ["v"],
  },
  { type: "object" },
];

/** More than 100 schemas. */
export const schemaCases: readonly Schema[] = [
  ...SMALL,
  ...SMALL.filter((schema) => !JSON.stringify(schema).includes("$ref")).map((schema, index) =>
    index % 2 === 0
      ? {
          type: "object",
          properties: { id: { type: "integer", minimum: 1 }, it: schema },
          required: ["it"],
          additionalProperties: false,
        }
      : {
          $defs: { it: schema },
          type: "array",
          items: { anyOf: [{ $ref: "#/$defs/it" }, { const: "none" }] },
          minItems: 1,
          maxItems: 2,
        },
  ),
  ...SMALL.slice(0, 6).map((schema) => ({
    type: "object",
    properties: { 'a b"c\u00e9': schema, z: { type: "null" } },
    required: ["z"],
  })),
];
