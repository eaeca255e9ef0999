import * as z from "zod";

import type { ChatTask, ToolChoice } from "../domain/chat.ts";
import type { ToolDefinition } from "../domain/generation.ts";
import { invalidValue } from "./refusal.ts";
import { boolean, identifier, object, oneOf, string, supportedOnly } from "./schemas.ts";

const MAX_TOOLS = 128;

const functionError = { error: "an object with `name`" };
const oldFunction = z.object(
  { name: identifier(), description: string().nullish(), parameters: object().nullish(), strict: boolean().nullish() },
  functionError,
);

const kind = supportedOnly(
  oneOf("function", "custom"),
  (type) => type === "function",
  'tools of the type "custom" cannot be called here. Use functions.',
);
const tool = z.object({ type: kind, function: oldFunction }, { error: "an object with `type` and `function`" });

const toolsError = { error: `an array of at most ${MAX_TOOLS} tools` };
export const tools = z.array(tool, toolsError).max(MAX_TOOLS, toolsError);
const functionsError = { error: `an array of at most ${MAX_TOOLS} functions` };
export const oldFunctions = z.array(oldFunction, functionsError).max(MAX_TOOLS, functionsError);

const named = z.object({ name: string() }, functionError);
const namedTool = z.object({ type: kind, function: named }, functionError);
const allowedError = { error: "an object with `mode` and `tools`" };
const allowedList = { error: "a non-empty array of functions by name" };
const allowedTools = z.object({
  type: z.literal("allowed_tools"),
  allowed_tools: z.object(
    { mode: oneOf("auto", "required"), tools: z.array(namedTool, allowedList).min(1, allowedList) },
    allowedError,
  ),
});
const choiceError = { error: '"none", "auto", "required", or an object that names a function or allowed tools' };
const choiceKindError = { error: '"function" or "allowed_tools"' };
export const toolChoice = z.union(
  [
    z.enum(["none", "auto", "required"], choiceError),
    z.discriminatedUnion(
      "type",
      [
        z.object({ type: z.literal("function"), function: named }),
        z.object({
          type: z.literal("custom").refine(() => false, {
            error: 'tools of the type "custom" cannot be called here. Use functions.',
            params: { code: "unsupported_value" },
            abort: true,
          }),
        }),
        allowedTools,
      ],
      choiceKindError,
    ),
  ],
  choiceError,
);

const oldChoiceError = { error: '"none", "auto" or an object with `name`' };
export const oldFunctionCall = z.union([z.enum(["none", "auto"], oldChoiceError), named], oldChoiceError);

interface ToolFields {
  readonly tools?: z.output<typeof tools> | undefined;
  readonly tool_choice?: z.output<typeof toolChoice> | undefined;
  readonly parallel_tool_calls: boolean;
  readonly functions?: z.output<typeof oldFunctions> | undefined;
  readonly function_call?: z.output<typeof oldFunctionCall> | undefined;
  readonly grammar?: string | undefined;
}

type Tools = Pick<ChatTask, "tools" | "toolChoice" | "parallelCalls">;

/**
 * What a request says of tools, in the current form or in the old one.
 * Errors: `invalid_value` for two tools of a name, for a choice of a tool that is not there, for `grammar` beside tools.
 */
export function toTools(fields: ToolFields): Tools & { readonly oldCalls: boolean } {
  const given = fields.tools ?? [];
  const old = fields.functions ?? [];
  if (given.length > 0 && old.length > 0) throw invalidValue("functions", "it left out beside 'tools'");
  if (old.length === 0 && typeof fields.function_call === "object") {
    throw invalidValue("function_call", '"none" or "auto" without functions');
  }
  const isOld = old.length > 0;
  const definitions = isOld
    ? old.map((definition, index) => toDefinition(definition, `functions[${index}]`))
    : given.map((entry, index) => toDefinition(entry.function, `tools[${index}].function`));
  refuseTwins(definitions, (index) => (isOld ? `functions[${index}].name` : `tools[${index}].function.name`));
  if (definitions.length > 0 && fields.grammar !== undefined && fields.grammar !== "") {
    throw invalidValue(
      "grammar",
      `it left out beside '${isOld ? "functions" : "tools"}', whose calls have a form of their own`,
    );
  }
  return {
    tools: definitions,
    toolChoice: isOld ? oldChoice(fields, definitions) : choice(fields, definitions),
    parallelCalls: !isOld && fields.parallel_tool_calls,
    oldCalls: isOld,
  };
}

function toDefinition(wire: z.output<typeof oldFunction>, where: string): ToolDefinition {
  const { name, description, parameters, strict } = wire;
  return {
    name,
    param: `${where}.parameters`,
    ...(typeof description === "string" && { description }),
    ...(parameters && { parameters }),
    ...(strict === true && { strict }),
  };
}

function refuseTwins(definitions: readonly ToolDefinition[], paramOf: (index: number) => string): void {
  const seen = new Set<string>();
  for (const [index, { name }] of definitions.entries()) {
    if (seen.has(name)) throw invalidValue(paramOf(index), `a name that no other tool has, got "${name}"`);
    seen.add(name);
  }
}

function choice({ tool_choice: wire }: ToolFields, definitions: readonly ToolDefinition[]): ToolChoice {
  if (wire === undefined) return { mode: definitions.length > 0 ? "auto" : "none" };
  if (wire === "none") return { mode: "none" };
  if (definitions.length === 0) {
    if (wire === "auto") return { mode: "none" };
    throw invalidValue("tool_choice", '"none" or "auto" without tools');
  }
  if (typeof wire === "string") return { mode: wire };
  if (wire.type === "allowed_tools") {
    const { mode, tools: allowed } = wire.allowed_tools;
    allowed.forEach(({ function: { name } }, index) =>
      requireKnown(name, definitions, `tool_choice.allowed_tools.tools[${index}].function.name`),
    );
    return { mode, only: allowed.map(({ function: { name } }) => name) };
  }
  if (wire.type === "custom") throw invalidValue("tool_choice.type", '"function" or "allowed_tools"');
  requireKnown(wire.function.name, definitions, "tool_choice.function.name");
  return { mode: "function", name: wire.function.name };
}

function oldChoice({ function_call: wire }: ToolFields, definitions: readonly ToolDefinition[]): ToolChoice {
  if (wire === undefined || wire === "auto") return { mode: "auto" };
  if (wire === "none") return { mode: "none" };
  requireKnown(wire.name, definitions, "function_call.name");
  return { mode: "function", name: wire.name };
}

function requireKnown(name: string, definitions: readonly ToolDefinition[], param: string): void {
  if (definitions.some((definition) => definition.name === name)) return;
  const names = definitions.map((definition) => `"${definition.name}"`).join(", ");
  const list = names.length > 200 ? `${names.slice(0, 200)}…` : names;
  throw invalidValue(param, `one of ${list}, got "${name.slice(0, 100)}"`);
}
