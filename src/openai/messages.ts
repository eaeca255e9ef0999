import * as z from "zod";

import type { ChatMessage, ToolCall } from "../domain/generation.ts";
import type { ModelDefaults } from "../domain/model-defaults.ts";
import { nullable, oneOf, string, supportedOnly } from "./schemas.ts";

/** More would be a mistake or an attack; the body's size limits the text. */
const MAX_MESSAGES = 10_000;

const TEXT_ONLY = 'the model reads text only. Send parts of the type "text".';
const textPart = z.object({ type: z.literal("text"), text: string() });
const refusalPart = z.object({ type: z.literal("refusal"), refusal: string() });
const mediaPart = z.object({
  type: supportedOnly(oneOf("image_url", "input_audio", "file"), () => false, TEXT_ONLY),
});

const textParts = { error: 'a part of the type "text"' };
const anyParts = { error: 'a part of the type "text" or "refusal"' };
const contentError = { error: "a string or an array of content parts" };
const content = z.union(
  [z.string(), z.array(z.discriminatedUnion("type", [textPart, mediaPart], textParts))],
  contentError,
);
const assistantContent = z.union(
  [z.string(), z.array(z.discriminatedUnion("type", [textPart, refusalPart, mediaPart], anyParts))],
  contentError,
);

const functionError = { error: "an object with `name` and `arguments`" };
const functionCall = z.object({ name: string(), arguments: string() }, functionError);
const toolCall = z.object(
  {
    id: string(),
    type: supportedOnly(
      oneOf("function", "custom").default("function"),
      (type) => type === "function",
      "custom tools cannot be called here.",
    ),
    function: functionCall,
  },
  { error: "a tool call" },
);

const speaker = nullable(string());
const systemMessage = z.object({ role: z.enum(["system", "developer"]), content, name: speaker });
const userMessage = z.object({ role: z.literal("user"), content, name: speaker });
const toolMessage = z.object({ role: z.literal("tool"), content, tool_call_id: string() });
const functionMessage = z.object({ role: z.literal("function"), content, name: string() });
const assistantMessage = z
  .object({
    role: z.literal("assistant"),
    content: nullable(assistantContent),
    refusal: nullable(string()),
    name: speaker,
    tool_calls: nullable(z.array(toolCall, { error: "an array of tool calls" })),
    function_call: nullable(functionCall),
  })
  .superRefine((message, context) => {
    const says = message.content ?? message.refusal;
    const calls = (message.tool_calls?.length ?? 0) > 0 || message.function_call !== undefined;
    if (says === undefined && !calls) {
      context.addIssue({
        code: "custom",
        path: ["content"],
        message: "a string, or an array of content parts, in an assistant message without tool calls",
        params: { code: "missing_required_parameter" },
      });
    }
  });

const message = z.discriminatedUnion(
  "role",
  [systemMessage, userMessage, assistantMessage, toolMessage, functionMessage],
  {
    // The types know only of a wrong role, but a message that is no object comes here too.
    error: ({ code }: { code: string }) =>
      code === "invalid_type"
        ? "a message object"
        : 'one of "system", "developer", "user", "assistant", "tool", "function"',
  },
);
type WireMessage = z.output<typeof message>;

const messagesError = { error: "an array of at least one message" };
export const messages = z
  .array(message, messagesError)
  .min(1, messagesError)
  .max(MAX_MESSAGES, { error: `at most ${MAX_MESSAGES} messages` });

export function toChatMessage(wire: WireMessage): ChatMessage {
  switch (wire.role) {
    case "system":
    case "developer":
      return { role: "system", content: toText(wire.content), ...named(wire.name) };
    case "user":
      return { role: "user", content: toText(wire.content), ...named(wire.name) };
    case "tool":
      return { role: "tool", content: toText(wire.content), toolCallId: wire.tool_call_id };
    case "function":
      return { role: "tool", content: toText(wire.content), name: wire.name, toolCallId: oldCallId(wire.name) };
    case "assistant":
      return toAssistantMessage(wire);
    default:
      return wire satisfies never;
  }
}

function toAssistantMessage(wire: Extract<WireMessage, { role: "assistant" }>): ChatMessage {
  const toolCalls = toToolCalls(wire);
  return {
    role: "assistant",
    content: toText(wire.content ?? wire.refusal ?? ""),
    ...named(wire.name),
    ...(toolCalls.length > 0 && { toolCalls }),
  };
}

type WireContent = string | readonly z.output<typeof textPart | typeof refusalPart | typeof mediaPart>[];

function toText(wire: WireContent): string {
  if (typeof wire === "string") return wire;
  return wire.map((part) => ("text" in part ? part.text : "refusal" in part ? part.refusal : "")).join("");
}

function toToolCalls(wire: Extract<WireMessage, { role: "assistant" }>): ToolCall[] {
  const calls = (wire.tool_calls ?? []).map(({ id, function: { name, arguments: text } }) => ({
    id,
    name,
    arguments: text,
  }));
  if (wire.function_call === undefined) return calls;
  return [...calls, { id: oldCallId(wire.function_call.name), ...wire.function_call }];
}

/** The old `function_call` has no id: its answer is found by the function's name. */
function oldCallId(functionName: string): string {
  return `call_${functionName}`;
}

function named(given: string | undefined): { name?: string } {
  return given === undefined ? {} : { name: given };
}

/** A conversation without a system message gets the model's own, where it has one. */
export function withSystem(given: readonly ChatMessage[], { systemPrompt }: ModelDefaults): readonly ChatMessage[] {
  if (systemPrompt === undefined || given.some(({ role }) => role === "system")) return given;
  return [{ role: "system", content: systemPrompt }, ...given];
}
