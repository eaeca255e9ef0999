import * as z from "zod";

import type { ChatTask, ToolChoice } from "../domain/chat.ts";
import { CodedError } from "../domain/errors.ts";
import type { ToolDefinition } from "../domain/generation.ts";
import { invalidValue } from "../openai/refusal.ts";
import { boolean, identifier, object, oneOf, string, supportedOnly } from "../openai/schemas.ts";

const tool = z.object(
  {
    type: supportedOnly(
      string(),
      (type) => type === "custom",
      "tools that Anthropic defines are not known here. Give a name and an input_schema.",
    ).nullish(),
    name: identifier(128),
    description: string().nullish(),
    input_schema: object(),
    strict: boolean().nullish(),
  },
  { error: "a tool with `name` and `input_schema`" },
);
export const tools = z.array(tool, { error: "an array of tools" }).max(128, { error: "at most 128 tools" });

export const toolChoice = z.object(
  {
    type: oneOf("auto", "any", "tool", "none"),
    name: string().nullish(),
    disable_parallel_tool_use: boolean().nullish(),
  },
  { error: "an object with `type`" },
);

type Choice = z.output<typeof toolChoice>;

/** Errors: `invalid_value` for two tools of a name, for a choice that no tool can meet; `missing_required_parameter`. */
export function toTools(
  given: z.output<typeof tools> | undefined,
  choice: Choice | undefined,
): Pick<ChatTask, "tools" | "toolChoice" | "parallelCalls"> {
  const definitions = (given ?? []).map(({ name, description, input_schema, strict }, index): ToolDefinition => ({
    name,
    parameters: input_schema,
    param: `tools[${index}].input_schema`,
    ...(typeof description === "string" && { description }),
    ...(strict === true && { strict }),
  }));
  const names = definitions.map(({ name }) => name);
  names.forEach((name, index) => {
    if (names.indexOf(name) < index)
      throw invalidValue(`tools[${index}].name`, `a name that no other tool has, got "${name}"`);
  });
  return {
    tools: definitions,
    toolChoice: toChoice(choice, names),
    parallelCalls: choice?.disable_parallel_tool_use !== true,
  };
}

function toChoice(choice: Choice | undefined, names: readonly string[]): ToolChoice {
  if (choice?.type === "none") return { mode: "none" };
  if (names.length === 0) {
    if (choice === undefined || choice.type === "auto") return { mode: "none" };
    throw invalidValue("tool_choice", 'it left out, or of the type "auto" or "none", without tools');
  }
  if (choice === undefined || choice.type === "auto") return { mode: "auto" };
  if (choice.type === "any") return { mode: "required" };
  const { name } = choice;
  if (typeof name !== "string") {
    const message = "Missing required parameter: 'tool_choice.name'. Expected the name of one of the tools.";
    throw new CodedError("missing_required_parameter", message, { param: "tool_choice.name" });
  }
  if (!names.includes(name)) {
    throw invalidValue("tool_choice.name", `the name of one of the tools, got "${name.slice(0, 100)}"`);
  }
  return { mode: "function", name };
}
