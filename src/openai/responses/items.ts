import * as z from "zod";

import { CodedError } from "../../domain/errors.ts";
import type { ChatMessage } from "../../domain/generation.ts";
import { nullable, oneOf, string, supportedOnly } from "../schemas.ts";

/** More would be a mistake or an attack; the body's size limits the text. */
const MAX_ITEMS = 10_000;

const TEXT_ONLY = 'the model reads text only. Send parts of the type "input_text".';
const text = z.object({ type: z.enum(["input_text", "output_text", "text"]), text: string() });
const refusal = z.object({ type: z.literal("refusal"), refusal: string() });
const media = z.object({
  type: supportedOnly(oneOf("input_image", "input_file", "input_audio"), () => false, TEXT_ONLY),
});
const part = z.discriminatedUnion("type", [text, refusal, media], {
  error: 'a part of the type "input_text", "output_text" or "refusal"',
});
const contentError = { error: "a string or an array of content parts" };
const content = z.union([z.string(), z.array(part)], contentError);
const id = nullable(string());
const status = nullable(oneOf("in_progress", "completed", "incomplete"));

const message = z.object({
  type: z.literal("message"),
  role: oneOf("user", "assistant", "system", "developer"),
  content,
  id,
  status,
});
const functionCall = z.object({
  type: z.literal("function_call"),
  call_id: string(),
  name: string(),
  arguments: string(),
  id,
  status,
});
const functionCallOutput = z.object({
  type: z.literal("function_call_output"),
  call_id: string(),
  output: content,
  id,
  status,
});
/** Thinking of an earlier answer: models are not shown it again. */
const reasoning = z.object({ type: z.literal("reasoning"), id, status });

const itemError = {
  error: 'an item of the type "message", "function_call", "function_call_output" or "reasoning"',
};
/** A message may leave its type out. */
const item = z.preprocess(
  (given) =>
    typeof given === "object" && given !== null && !Array.isArray(given) && !("type" in given)
      ? { ...given, type: "message" }
      : given,
  z.discriminatedUnion("type", [message, functionCall, functionCallOutput, reasoning], itemError),
);
export type InputItem = z.output<typeof item>;

const inputError = { error: "a string or an array of items" };
export const input = z.union(
  [
    z.string(),
    z
      .array(item, inputError)
      .min(1, { error: "at least one item" })
      .max(MAX_ITEMS, { error: `at most ${MAX_ITEMS} items` }),
  ],
  inputError,
);

/** A string is a message of the user. */
export function toItems(given: z.output<typeof input>): readonly InputItem[] {
  if (typeof given !== "string") return given;
  return [{ type: "message", role: "user", content: given, id: undefined, status: undefined }];
}

/**
 * Items of a conversation → its messages. Calls that follow an answer's text belong to the same message.
 * Errors: `invalid_value` where nothing is left to answer.
 */
export function toMessages(items: readonly InputItem[], instructions: string | undefined): ChatMessage[] {
  const messages: ChatMessage[] = instructions === undefined ? [] : [{ role: "system", content: instructions }];
  for (const given of items) {
    switch (given.type) {
      case "message":
        messages.push({ role: given.role === "developer" ? "system" : given.role, content: toText(given.content) });
        break;
      case "function_call": {
        const call = { id: given.call_id, name: given.name, arguments: given.arguments };
        const last = messages.at(-1);
        const calls = [...(last?.toolCalls ?? []), call];
        if (last?.role === "assistant") messages[messages.length - 1] = { ...last, toolCalls: calls };
        else messages.push({ role: "assistant", content: "", toolCalls: calls });
        break;
      }
      case "function_call_output":
        messages.push({ role: "tool", content: toText(given.output), toolCallId: given.call_id });
        break;
      case "reasoning":
        break;
      default:
        given satisfies never;
    }
  }
  if (messages.length === 0) {
    throw new CodedError("invalid_value", "Invalid value for 'input': expected at least one message.", {
      param: "input",
    });
  }
  return messages;
}

function toText(given: z.output<typeof content>): string {
  if (typeof given === "string") return given;
  return given.map((one) => ("text" in one ? one.text : "refusal" in one ? one.refusal : "")).join("");
}

/** An item as it is listed: with an id, and its content in parts. */
export function toListed(given: InputItem, newId: (prefix: string) => string): Record<string, unknown> {
  switch (given.type) {
    case "message": {
      const kind = given.role === "assistant" ? "output_text" : "input_text";
      const parts = typeof given.content === "string" ? [{ type: kind, text: given.content }] : given.content;
      return { ...given, id: given.id ?? newId("msg_"), status: given.status ?? "completed", content: parts };
    }
    case "function_call":
      return { ...given, id: given.id ?? newId("fc_"), status: given.status ?? "completed" };
    case "function_call_output":
      return { ...given, id: given.id ?? newId("fco_"), status: given.status ?? "completed" };
    case "reasoning":
      return { ...given, id: given.id ?? newId("rs_"), summary: [] };
    default:
      return given satisfies never;
  }
}
