import type { z } from "zod";

import { CodedError } from "../domain/errors.ts";
import type { SamplingDefaults } from "../domain/model-defaults.ts";
import type { Field } from "./field.ts";
import { toRefusal } from "./refusal.ts";

export interface ReadBody<Fields> {
  readonly fields: Fields;
  /** Members that had no effect, in the client's spelling. */
  readonly ignored: readonly string[];
}

/** The object that validates what a table of fields describes, in the table's order. */
export function schemaOf<Table extends Record<string, Field>>(table: Table) {
  type Shape = { [Name in keyof Table]: Table[Name]["schema"] };
  return Object.fromEntries(Object.entries(table).map(([name, { schema }]) => [name, schema])) as Shape;
}

/**
 * `defaults` replace those of the table where the body leaves a member out.
 * Errors: `invalid_type`, `invalid_value`, `missing_required_parameter`, `unsupported_value`, `unsupported_parameter`.
 */
export function readBody<Schema extends z.ZodType>(
  table: Readonly<Record<string, Field>>,
  schema: Schema,
  body: unknown,
  defaults: SamplingDefaults = {},
): ReadBody<z.output<Schema>> {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new CodedError("invalid_type", "Invalid type for the body: expected a JSON object.");
  }
  const { known, ignored } = sortMembers(table, body);
  const result = schema.safeParse(known);
  if (!result.success) throw toRefusal(known, result.error.issues[0]!);
  const missing = Object.entries(defaults).filter(
    ([name]) => Object.hasOwn(table, name) && !Object.hasOwn(known, name),
  );
  // The model's own may lie outside of what a wire lets its clients ask for.
  return { fields: Object.assign(result.data as object, Object.fromEntries(missing)) as z.output<Schema>, ignored };
}

/** Members set to null are absent. Names like `__proto__` are unknown like any other. */
function sortMembers(
  table: Readonly<Record<string, Field>>,
  body: object,
): { known: Record<string, unknown>; ignored: string[] } {
  const known: Record<string, unknown> = {};
  const ignored: string[] = [];
  for (const [name, value] of Object.entries(body)) {
    if (value === null) continue;
    const field = Object.hasOwn(table, name) ? table[name] : undefined;
    if (field !== undefined) known[name] = value;
    if (field === undefined || (field.use === "ignored" && !isOff(name, value))) ignored.push(name);
  }
  return { known, ignored };
}

/** `tfs_z: 1` asks for nothing, so nothing was ignored. */
function isOff(name: string, value: unknown): boolean {
  return name === "tfs_z" && value === 1;
}
