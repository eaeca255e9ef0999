import type { ToolChoice } from "../domain/chat.ts";
import { CodedError } from "../domain/errors.ts";
import type { ToolDefinition } from "../domain/generation.ts";
import { literal } from "../grammar/characters.ts";
import { schemaToRules, type SchemaRules } from "../grammar/json-schema.ts";

/** A tool whose arguments have a grammar. */
export interface CallableTool {
  readonly name: string;
  readonly arguments: SchemaRules;
}

const NO_ARGUMENTS: SchemaRules = { root: literal("{}"), rules: [] };

/**
 * The tools that an answer may call.
 * Errors: `invalid_json_schema` for parameters that cannot be held.
 */
export function callableTools(tools: readonly ToolDefinition[], choice: ToolChoice): CallableTool[] {
  return tools
    .map((tool, index) => ({ tool, index }))
    .filter(({ tool: { name } }) => isAllowed(name, choice))
    .map(({ tool, index }) => ({ name: tool.name, arguments: argumentRules(tool, index) }));
}

function isAllowed(name: string, choice: ToolChoice): boolean {
  if (choice.mode === "none") return false;
  if (choice.mode === "function") return choice.name === name;
  return choice.only?.includes(name) ?? true;
}

function argumentRules({ parameters, strict = false, param }: ToolDefinition, index: number): SchemaRules {
  if (parameters === undefined) return NO_ARGUMENTS;
  const where = param ?? `tools[${index}].function.parameters`;
  const { type = "object" } = parameters;
  if (![type].flat().includes("object")) {
    throw new CodedError(
      "invalid_json_schema",
      `Invalid JSON Schema in '${where}': expected the type "object", since arguments have names.`,
      { param: where },
    );
  }
  return schemaToRules({ ...parameters, type: "object" }, { strict, param: where }, `t${index}-`);
}
