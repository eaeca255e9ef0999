import { createHash } from "node:crypto";

import type { ChatTask } from "../domain/chat.ts";
import type { Engine } from "../domain/engine.ts";
import type { ChatMessage, ChatPrompt, ToolCall, ToolDefinition } from "../domain/generation.ts";
import { ID_LENGTH, type CallSyntax } from "./call-syntax.ts";
import { HERMES } from "./formats/formats.ts";
import { canBeTagged } from "./tagged-arguments.ts";
import { nativeSyntax } from "./template.ts";

export interface ToolPrompt {
  readonly prompt: ChatPrompt;
  /** In which the answer's calls will be written. */
  readonly syntax: CallSyntax;
}

/** The conversation as the engine reads it: what `startChat` evaluates. */
export function toPrompt(engine: Engine, task: ChatTask): ToolPrompt {
  const { messages, tools, ending, variables } = task;
  const prompt: ChatPrompt = { kind: "chat", messages, ending, variables };
  if (tools.length === 0 && !messages.some(isPartOfCall)) return { prompt, syntax: HERMES };
  const native = nativeSyntax(engine);
  const fits = native?.arguments === undefined || tools.every(canBeTagged);
  if (native === undefined || !fits)
    return { prompt: { ...prompt, messages: inText(messages, tools) }, syntax: HERMES };
  const own = native.single === true ? oneByOne(messages) : messages;
  const definitions = tools.map(toDefinition);
  return {
    prompt: { ...prompt, messages: own.map(withShortIds), ...(tools.length > 0 && { tools: definitions }) },
    syntax: native,
  };
}

function isPartOfCall({ role, toolCalls = [] }: ChatMessage): boolean {
  return role === "tool" || toolCalls.length > 0;
}

/** What templates expect to find: parameters are read even where a tool has none. */
function toDefinition({ name, description, parameters }: ToolDefinition): ToolDefinition {
  return {
    name,
    ...(description !== undefined && { description }),
    parameters: parameters ?? { type: "object", properties: {} },
  };
}

/** Mistral's templates refuse ids of other lengths than theirs; no template needs longer ones. */
function withShortIds(message: ChatMessage): ChatMessage {
  const { toolCallId, toolCalls } = message;
  return {
    ...message,
    ...(toolCallId !== undefined && { toolCallId: shortId(toolCallId) }),
    ...(toolCalls !== undefined && { toolCalls: toolCalls.map((call) => ({ ...call, id: shortId(call.id) })) }),
  };
}

function shortId(id: string): string {
  if (/^[A-Za-z0-9]{9}$/.test(id)) return id;
  return createHash("sha256").update(id).digest("hex").slice(0, ID_LENGTH);
}

/** Each call in a turn of its own, its result behind it: for templates that take one call in a turn. */
function oneByOne(messages: readonly ChatMessage[]): ChatMessage[] {
  const results = messages.filter(({ role }) => role === "tool");
  const taken = new Set<ChatMessage>();
  return messages.flatMap((message): ChatMessage[] => {
    if (message.role === "tool") return taken.has(message) ? [] : [message];
    const { toolCalls = [] } = message;
    if (toolCalls.length < 2) return [message];
    return toolCalls.flatMap((call, index): ChatMessage[] => {
      const result = results.find((other) => other.toolCallId === call.id && !taken.has(other));
      if (result !== undefined) taken.add(result);
      const turn: ChatMessage = { ...message, content: index === 0 ? message.content : "", toolCalls: [call] };
      return result === undefined ? [turn] : [turn, result];
    });
  });
}

/** Tools, calls and results as text of messages, for templates that know none of them. */
function inText(messages: readonly ChatMessage[], tools: readonly ToolDefinition[]): ChatMessage[] {
  const turns: ChatMessage[] = [];
  for (const message of messages) {
    const last = turns.at(-1);
    if (message.role === "tool") {
      const text = `<tool_response>\n${message.content}\n</tool_response>`;
      const isNext = last !== undefined && last.role === "user" && last.content.endsWith("</tool_response>");
      if (isNext) turns[turns.length - 1] = { ...last, content: `${last.content}\n${text}` };
      else turns.push({ role: "user", content: text });
    } else if (message.toolCalls !== undefined && message.toolCalls.length > 0) {
      const { toolCalls, ...rest } = message;
      const parts = [...(rest.content === "" ? [] : [rest.content]), ...toolCalls.map(callInText)];
      turns.push({ ...rest, content: parts.join("\n") });
    } else turns.push(message);
  }
  if (tools.length === 0) return turns;
  const text = definitionsInText(tools);
  const [first, ...others] = turns;
  if (first?.role !== "system") return [{ role: "system", content: text }, ...turns];
  return [{ ...first, content: `${first.content}\n\n${text}` }, ...others];
}

function callInText({ name, arguments: json }: ToolCall): string {
  return `<tool_call>\n{"name": ${JSON.stringify(name)}, "arguments": ${json}}\n</tool_call>`;
}

function definitionsInText(tools: readonly ToolDefinition[]): string {
  const lines = tools.map((tool) => JSON.stringify({ type: "function", function: toDefinition(tool) }));
  return (
    `# Tools\n\nYou can call these functions:\n<tools>\n${lines.join("\n")}\n</tools>\n\n` +
    "To call one, answer with nothing but:\n" +
    '<tool_call>\n{"name": <function-name>, "arguments": <args-object>}\n</tool_call>'
  );
}
