import type { ToolChoice } from "../domain/chat.ts";
import { CodedError } from "../domain/errors.ts";
import type { ToolDefinition } from "../domain/generation.ts";
import { literal } from "../grammar/characters.ts";
import { schemaToRules, type SchemaRules } from "../grammar/json-schema.ts";
import type { ArgumentForms } from "./arguments-reader.ts";
import type { CallSyntax } from "./call-syntax.ts";
import { taggedArguments } from "./tagged-arguments.ts";

/** A tool whose arguments have a grammar. */
export interface CallableTool {
  readonly name: string;
  readonly arguments: SchemaRules & {
    /** Where they are not one JSON object. */
    readonly forms?: ArgumentForms;
  };
}

const NO_ARGUMENTS: SchemaRules = { root: literal("{}"), rules: [] };
const NO_PARAMETERS = { type: "object", properties: {}, additionalProperties: false };

/**
 * The tools that an answer may call, and how it writes their arguments.
 * Errors: `invalid_json_schema` for parameters that cannot be held.
 */
export function callableTools(
  tools: readonly ToolDefinition[],
  choice: ToolChoice,
  { arguments: words }: Pick<CallSyntax, "arguments">,
): CallableTool[] {
  return tools
    .map((tool, index) => ({ tool, index }))
    .filter(({ tool: { name } }) => isAllowed(name, choice))
    .map(({ tool, index }) => ({ name: tool.name, arguments: argumentRules(tool, index, words) }));
}

function isAllowed(name: string, choice: ToolChoice): boolean {
  if (choice.mode === "none") return false;
  if (choice.mode === "function") return choice.name === name;
  return choice.only?.includes(name) ?? true;
}

function argumentRules(
  { parameters = NO_PARAMETERS, strict = false, param }: ToolDefinition,
  index: number,
  words: CallSyntax["arguments"],
): CallableTool["arguments"] {
  if (parameters === NO_PARAMETERS && words === undefined) return NO_ARGUMENTS;
  const where = param ?? `tools[${index}].function.parameters`;
  const { type = "object" } = parameters;
  if (![type].flat().includes("object")) {
    throw new CodedError(
      "invalid_json_schema",
      `Invalid JSON Schema in '${where}': expected the type "object", since arguments have names.`,
      { param: where },
    );
  }
  const schema = { ...parameters, type: "object" };
  const options = { strict, param: where };
  const prefix = `t${index}-`;
  return words === undefined ? schemaToRules(schema, options, prefix) : taggedArguments(words, schema, options, prefix);
}
