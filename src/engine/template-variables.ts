import { randomBytes } from "node:crypto";

import type { ChatMessage, ToolDefinition } from "../domain/generation.ts";

/** Stand-ins for the client's texts: plain letters and digits, which templates and tokenizers leave alone. */
export class Marks {
  readonly #prefix = `Q${randomBytes(9).toString("hex")}X`;
  readonly #texts: string[] = [];

  hide(text: string, isJson: boolean): string {
    // An empty text stays empty: templates test for it.
    if (text === "") return text;
    this.#texts.push(isJson ? JSON.stringify(text).slice(1, -1) : text);
    return `${this.#prefix}${this.#texts.length - 1}Z`;
  }

  split(marked: string): { readonly text: string; readonly fromClient: boolean }[] {
    // Odd places hold the numbers that the pattern captures.
    return marked
      .split(new RegExp(`${this.#prefix}(\\d+)Z`))
      .map((text, index) =>
        index % 2 === 0 ? { text, fromClient: false } : { text: this.#texts[Number(text)] ?? "", fromClient: true },
      );
  }
}

export type Mapper = (text: string, isJson: boolean) => string;
export const PLAIN: Mapper = (text) => text;

/** Letters, digits and marks that stand in numbers, dates and names. */
export const PLAIN_WORD = /^[\w .:+-]{0,64}$/;

/** The template's variables, in the shape that llama.cpp's server gives them; every text of the client goes through `map`. */
export function toVariables(
  messages: readonly ChatMessage[],
  tools: readonly ToolDefinition[] | undefined,
  map: Mapper,
): Record<string, unknown> {
  return {
    messages: messages.map((message) => ({
      role: message.role,
      content: map(message.content, false),
      ...(message.name !== undefined && { name: map(message.name, false) }),
      ...(message.toolCallId !== undefined && { tool_call_id: map(message.toolCallId, false) }),
      ...(message.toolCalls !== undefined && {
        tool_calls: message.toolCalls.map((call) => ({
          id: map(call.id, false),
          type: "function",
          function: { name: map(call.name, false), arguments: toArguments(call.arguments, map) },
        })),
      }),
    })),
    ...(tools !== undefined &&
      tools.length > 0 && {
        tools: tools.map((tool) => ({ type: "function", function: mapStrings(tool, map) })),
      }),
  };
}

/** Templates print arguments as JSON, so they want the value; a text that is not JSON stays a text. */
function toArguments(json: string, map: Mapper): unknown {
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value === "object" && value !== null) return mapStrings(value, map);
  } catch {
    // Not JSON: the client's own words.
  }
  return map(json, false);
}

/** Keys that belong to JSON Schema and to tool definitions are the same in every tool: no client text. */
function mapStrings(value: unknown, map: Mapper): unknown {
  if (typeof value === "string") return map(value, true);
  if (Array.isArray(value)) return value.map((item) => mapStrings(item, map));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [SCHEMA_KEYS.has(key) ? key : map(key, true), mapStrings(item, map)]),
  );
}

/** The same without keys of a known meaning. Texts may be printed as they are, so they are not marked as JSON. */
export function mapValue(value: unknown, map: Mapper): unknown {
  if (typeof value === "string") return map(value, false);
  if (Array.isArray(value)) return value.map((item) => mapValue(item, map));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [map(key, false), mapValue(item, map)]));
}

const SCHEMA_KEYS = new Set(
  "name description parameters type properties required items enum additionalProperties strict arguments".split(" "),
);

export function surroundings(): Record<string, unknown> {
  return { enable_thinking: true, date_string: today() };
}

/** "22 Nov 2026", the form that Llama 3's template prints. A locale's formatter would cost half a millisecond. */
function today(): string {
  const [, month, day, year] = new Date().toDateString().split(" ");
  return `${day} ${month} ${year}`;
}
