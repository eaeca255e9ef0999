import * as z from "zod";

import { CodedError } from "../domain/errors.ts";
import { refuseBranching } from "../grammar/branching.ts";
import { schemaToGrammar } from "../grammar/json-schema.ts";
import { boolean, identifier, oneOf, string } from "./schemas.ts";

const jsonSchema = z.object(
  {
    name: identifier(),
    description: string().nullish(),
    // Whatever it is, the converter says what is wrong with it.
    schema: z.unknown().optional(),
    strict: boolean().nullish(),
  },
  { error: "an object with `name` and `schema`" },
);

const formatError = { error: "an object with `type`" };

export const responseFormat = z
  .object(
    {
      type: oneOf("text", "json_object", "json_schema"),
      schema: z.unknown().optional(),
      json_schema: jsonSchema.nullish(),
    },
    formatError,
  )
  .refine((format) => format.type !== "json_schema" || (format.json_schema ?? undefined) !== undefined, {
    error: "an object with `name` and `schema`",
    path: ["json_schema"],
  });

export interface StructureFields {
  readonly response_format?: z.output<typeof responseFormat> | undefined;
  readonly json_schema?: Readonly<Record<string, unknown>> | undefined;
  readonly grammar?: string | undefined;
}

/**
 * The grammar of what a request says of its answer's form; undefined leaves the answer free.
 * Errors: `invalid_json_schema`, `invalid_grammar`; `invalid_value` for two forms at once.
 */
export function toGrammar(fields: StructureFields): string | undefined {
  const format = fields.response_format?.type === "text" ? undefined : fields.response_format;
  const grammar = fields.grammar === "" ? undefined : fields.grammar;
  if (grammar !== undefined) {
    if (format !== undefined) throw conflict("grammar", "response_format");
    if (fields.json_schema !== undefined) throw conflict("grammar", "json_schema");
    refuseBranching(grammar);
    return grammar;
  }
  if (fields.json_schema !== undefined) {
    if (format !== undefined) throw conflict("json_schema", "response_format");
    return schemaToGrammar(fields.json_schema, { strict: false, param: "json_schema" });
  }
  if (format === undefined) return undefined;
  if (format.type === "json_object") {
    const schema = format.schema ?? { type: "object" };
    return schemaToGrammar(schema, { strict: false, param: "response_format.schema" });
  }
  return schemaToGrammar(format.json_schema?.schema, {
    strict: format.json_schema?.strict ?? false,
    param: "response_format.json_schema.schema",
  });
}

function conflict(param: string, other: string): CodedError {
  return new CodedError("invalid_value", `Invalid value for '${param}': expected it only without '${other}'.`, {
    param,
  });
}
