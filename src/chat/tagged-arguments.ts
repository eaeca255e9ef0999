import type { ToolDefinition } from "../domain/generation.ts";
import { literal } from "../grammar/characters.ts";
import { objectToRules, type SchemaOptions, type SchemaRules } from "../grammar/json-schema.ts";
import type { Schema } from "../grammar/schema-merge.ts";
import type { ArgumentForms } from "./arguments-reader.ts";
import type { TaggedArguments } from "./call-syntax.ts";
import { sequence, toGbnf } from "./syntax-gbnf.ts";

/** Of names that the words around them are told from. */
const NAME = /^[\w.$@-]{1,128}$/;
const OTHER_NAME = "[A-Za-z0-9_.-]{1,64}";
/** What says more of an object than which members it has. */
const WHOLE = ["$ref", "allOf", "anyOf", "oneOf", "enum", "const"];

/** Whether a tool's arguments can stand one by one: its schema names them, each by a plain word. */
export function canBeTagged({ parameters }: Pick<ToolDefinition, "parameters">): boolean {
  if (parameters === undefined) return true;
  const { properties = {}, required = [] } = parameters;
  const names = [...Object.keys(Object(properties)), ...[required].flat().map(String)];
  return WHOLE.every((keyword) => parameters[keyword] === undefined) && names.every((name) => NAME.test(name));
}

/** Rules for arguments one by one, in the schema's order. Errors: `invalid_json_schema`. */
export function taggedArguments(
  { before, between, end, after }: TaggedArguments,
  schema: Schema,
  options: SchemaOptions,
  prefix: string,
): SchemaRules & { readonly forms: ArgumentForms } {
  const { members, further, rules } = objectToRules(schema, options, prefix, end);
  const argument = (name: string, value: string) =>
    sequence(toGbnf(before), name, toGbnf(between), value, toGbnf(after));
  const parts = members.map(({ name, required, value }) => {
    const whole = argument(literal(name), value);
    return required ? whole : `(${whole})?`;
  });
  if (further !== undefined) parts.push(`(${argument(OTHER_NAME, further.value)})*`);
  const root = `${prefix}arguments`;
  return {
    root,
    rules: [`${root} ::= ${parts.length === 0 ? '""' : parts.join(" ")}`, ...rules],
    forms: {
      members: new Map(members.map(({ name, form }) => [name, form])),
      further: further?.form ?? "json",
    },
  };
}
