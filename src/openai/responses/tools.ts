import * as z from "zod";

import type { ToolChoice } from "../../domain/chat.ts";
import type { ToolDefinition } from "../../domain/generation.ts";
import { invalidValue } from "../refusal.ts";
import { boolean, identifier, nullable, object, oneOf, string, supportedOnly } from "../schemas.ts";

const functionTool = z.object({
  type: z.literal("function"),
  name: identifier(),
  description: nullable(string()),
  parameters: nullable(object()),
  strict: nullable(boolean()),
});
const customTool = z.object({
  type: supportedOnly(oneOf("custom"), () => false, "custom tools cannot be called here. Give functions."),
});
/** Tools that OpenAI runs itself; nothing of the kind is here. */
const HOSTED = [
  "web_search",
  "web_search_2025_08_26",
  "web_search_preview",
  "web_search_preview_2025_03_11",
  "file_search",
  "code_interpreter",
  "computer_use_preview",
  "image_generation",
  "local_shell",
  "shell",
  "mcp",
  "apply_patch",
] as const;
const hostedTool = z.object({ type: z.enum(HOSTED) });

export const tools = z
  .array(
    z.discriminatedUnion("type", [functionTool, customTool, hostedTool], { error: 'a tool of the type "function"' }),
    { error: "an array of tools" },
  )
  .max(128, { error: "at most 128 tools" });

const choiceError = { error: '"none", "auto", "required" or an object that names functions' };
const namedFunction = z.object({ type: z.literal("function"), name: string() });
export const toolChoice = z.union(
  [
    oneOf("none", "auto", "required"),
    z.discriminatedUnion(
      "type",
      [
        namedFunction,
        z.object({
          type: z.literal("allowed_tools"),
          mode: oneOf("auto", "required"),
          tools: z.array(namedFunction, { error: "an array of functions" }).min(1, { error: "at least one function" }),
        }),
        z.object({
          type: supportedOnly(oneOf(...HOSTED, "custom"), () => false, "only functions can be called here."),
        }),
      ],
      choiceError,
    ),
  ],
  choiceError,
);

export interface Tools {
  readonly definitions: readonly ToolDefinition[];
  readonly choice: ToolChoice;
  /** Whether there were tools that cannot be called here. */
  readonly dropped: boolean;
}

/** Errors: `invalid_value` for a name that is there twice or not at all, or for a choice without tools. */
export function toTools(
  given: z.output<typeof tools> | undefined,
  choice: z.output<typeof toolChoice> | undefined,
): Tools {
  const functions = (given ?? []).flatMap((tool, index) => (tool.type === "function" ? [{ ...tool, index }] : []));
  const names = new Set<string>();
  for (const [index, tool] of (given ?? []).entries()) {
    if (!("name" in tool)) continue;
    if (names.has(tool.name)) throw invalidValue(`tools[${index}].name`, `a name of its own, got "${tool.name}" again`);
    names.add(tool.name);
  }
  const definitions = functions.map(({ name, description, parameters, strict, index }): ToolDefinition => ({
    name,
    param: `tools[${index}].parameters`,
    ...(strict === true && { strict }),
    ...(description !== undefined && { description }),
    ...(parameters !== undefined && { parameters }),
  }));
  const require = (name: string, param: string): string => {
    if (!names.has(name)) throw invalidValue(param, `the name of one of the tools, got "${name.slice(0, 100)}"`);
    return name;
  };
  return {
    definitions,
    choice: toChoice(choice, definitions.length > 0, require),
    dropped: functions.length < (given?.length ?? 0),
  };
}

function toChoice(
  choice: z.output<typeof toolChoice> | undefined,
  hasTools: boolean,
  require: (name: string, param: string) => string,
): ToolChoice {
  if (!hasTools) {
    if (choice === undefined || choice === "none" || choice === "auto") return { mode: "none" };
    throw invalidValue("tool_choice", '"none" or "auto" where there are no functions to call');
  }
  if (choice === undefined) return { mode: "auto" };
  if (typeof choice === "string") return { mode: choice };
  if ("tools" in choice) {
    const only = choice.tools.map(({ name }, index) => require(name, `tool_choice.tools[${index}].name`));
    return { mode: choice.mode, only };
  }
  return { mode: "function", name: require((choice as z.output<typeof namedFunction>).name, "tool_choice.name") };
}
