import * as z from "zod";

import type { ChatMessage, ToolCall } from "../domain/generation.ts";
import { boolean, object, oneOf, string, supportedOnly } from "../openai/schemas.ts";

/** More would be a mistake or an attack; the body's size limits the text. */
const MAX_MESSAGES = 10_000;

const TEXT_ONLY = 'the model reads text only. Send blocks of the type "text".';
const text = z.object({ type: z.literal("text"), text: string() });
const media = z.object({
  type: supportedOnly(
    oneOf("image", "document", "search_result", "container_upload", "server_tool_use", "web_search_tool_result"),
    () => false,
    TEXT_ONLY,
  ),
});

const resultError = { error: "a string or an array of text blocks" };
const textBlocks = z.array(z.discriminatedUnion("type", [text, media], { error: 'a block of the type "text"' }));
const toolResult = z.object({
  type: z.literal("tool_result"),
  tool_use_id: string(),
  content: z.union([z.string(), textBlocks], resultError).nullish(),
  is_error: boolean().nullish(),
});
const toolUse = z.object({ type: z.literal("tool_use"), id: string(), name: string(), input: object() });
/** Models are not shown their earlier thinking again. */
const thinking = z.object({ type: z.enum(["thinking", "redacted_thinking"]) });

const contentError = { error: "a string or an array of content blocks" };
const userBlock = z.discriminatedUnion("type", [text, toolResult, media], {
  error: 'a block of the type "text" or "tool_result"',
});
const assistantBlock = z.discriminatedUnion("type", [text, toolUse, thinking, media], {
  error: 'a block of the type "text", "tool_use" or "thinking"',
});
const message = z.discriminatedUnion(
  "role",
  [
    z.object({ role: z.literal("user"), content: z.union([z.string(), z.array(userBlock)], contentError) }),
    z.object({ role: z.literal("assistant"), content: z.union([z.string(), z.array(assistantBlock)], contentError) }),
  ],
  // The types know only of a wrong role, but a message that is no object comes here too.
  { error: ({ code }: { code: string }) => (code === "invalid_type" ? "a message object" : '"user" or "assistant"') },
);
export type WireMessage = z.output<typeof message>;

const messagesError = { error: "an array of at least one message" };
export const messages = z
  .array(message, messagesError)
  .min(1, messagesError)
  .max(MAX_MESSAGES, { error: `at most ${MAX_MESSAGES} messages` });

export const system = z.union(
  [z.string(), z.array(z.discriminatedUnion("type", [text, media], { error: 'a block of the type "text"' }))],
  { error: "a string or an array of text blocks" },
);

/** A message holds text, calls and results side by side; to the model, each result is a message of its own. */
export function toMessages(
  given: readonly WireMessage[],
  instructions: z.output<typeof system> | undefined,
): ChatMessage[] {
  const first = instructions === undefined ? "" : toText(instructions);
  return [
    ...(first === "" ? [] : [{ role: "system" as const, content: first }]),
    ...given.flatMap((wire) => (wire.role === "user" ? fromUser(wire.content) : [fromAssistant(wire.content)])),
  ];
}

function fromUser(content: Extract<WireMessage, { role: "user" }>["content"]): ChatMessage[] {
  if (typeof content === "string") return [{ role: "user", content }];
  const parts: ChatMessage[] = [];
  for (const block of content) {
    const last = parts.at(-1);
    if (block.type === "tool_result") {
      parts.push({ role: "tool", content: toText(block.content ?? ""), toolCallId: block.tool_use_id });
    } else if (block.type === "text") {
      if (last?.role === "user") parts[parts.length - 1] = { ...last, content: last.content + block.text };
      else parts.push({ role: "user", content: block.text });
    }
  }
  return parts.length > 0 ? parts : [{ role: "user", content: "" }];
}

function fromAssistant(content: Extract<WireMessage, { role: "assistant" }>["content"]): ChatMessage {
  if (typeof content === "string") return { role: "assistant", content };
  const toolCalls = content.flatMap((block): ToolCall[] =>
    block.type === "tool_use" ? [{ id: block.id, name: block.name, arguments: JSON.stringify(block.input) }] : [],
  );
  return { role: "assistant", content: toText(content), ...(toolCalls.length > 0 && { toolCalls }) };
}

function toText(content: string | readonly object[]): string {
  if (typeof content === "string") return content;
  return content.map((block) => ("text" in block ? String(block.text) : "")).join("");
}
