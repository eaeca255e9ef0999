import type { ChatFinishReason, ChatStep, ChatUsage } from "../domain/chat.ts";
import type { Ending, Timings } from "../domain/generation.ts";

/** What all parts of one answer have in common. */
export interface MessageHead {
  readonly id: string;
  readonly model: string;
}

export interface MessageAnswer {
  readonly body: unknown;
  readonly usage: ChatUsage | undefined;
  readonly timings: Timings | undefined;
}

type Block =
  | { readonly type: "thinking"; thinking: string; readonly signature: string }
  | { readonly type: "text"; text: string }
  | { readonly type: "tool_use"; readonly id: string; readonly name: string; arguments: string };

/** All steps of a chat → one message. */
export async function toMessage(head: MessageHead, steps: AsyncIterable<ChatStep>): Promise<MessageAnswer> {
  const blocks: Block[] = [];
  let end: { readonly reason: ChatFinishReason; readonly ending?: Ending } | undefined;
  let usage: ChatUsage | undefined;
  let timings: Timings | undefined;
  for await (const step of steps) {
    if (step.type === "done") ({ usage, timings } = step);
    else if (step.type === "finish") end = step;
    else add(blocks, step);
  }
  const body = {
    id: head.id,
    type: "message",
    role: "assistant",
    model: head.model,
    content: blocks.map(toWire),
    ...toStop(end?.reason ?? "stop", end?.ending),
    usage: toMessageUsage(usage ?? { promptTokens: 0, cachedTokens: 0, completionTokens: 0 }),
  };
  return { body, usage, timings };
}

function add(blocks: Block[], step: ChatStep): void {
  const last = blocks.at(-1);
  if (step.type === "call") blocks.push({ type: "tool_use", id: toToolUseId(step.id), name: step.name, arguments: "" });
  else if (step.type === "arguments" && last?.type === "tool_use") last.arguments += step.text;
  else if ((step.type === "text" || step.type === "thinking") && step.text !== "") {
    if (step.type === "text" && last?.type === "text") last.text += step.text;
    else if (step.type === "thinking" && last?.type === "thinking") last.thinking += step.text;
    else if (step.type === "text") blocks.push({ type: "text", text: step.text });
    else blocks.push({ type: "thinking", thinking: step.text, signature: SIGNATURE });
  }
}

/** Nothing here is signed: thinking that comes back is not read. */
export const SIGNATURE = "";

function toWire(block: Block): Record<string, unknown> {
  if (block.type !== "tool_use") return block;
  return { type: "tool_use", id: block.id, name: block.name, input: toInput(block.arguments) };
}

/** A call that a limit has cut has no whole arguments, and an object is what its reader expects. */
function toInput(json: string): unknown {
  try {
    return JSON.parse(json) as unknown;
  } catch {
    return {};
  }
}

/** Anthropic's ids begin in their own way. */
export function toToolUseId(id: string): string {
  return `toolu_${id.replace(/^call_/, "")}`;
}

/** `stop_reason`, and the sequence that was met. */
export function toStop(reason: ChatFinishReason, ending: Ending | undefined) {
  const sequence = ending?.stop ?? null;
  const names = {
    length: "max_tokens",
    tool_calls: "tool_use",
    stop: sequence === null ? "end_turn" : "stop_sequence",
  };
  return { stop_reason: names[reason], stop_sequence: reason === "stop" ? sequence : null };
}

/** Tokens that were not evaluated again are no `input_tokens`. */
export function toMessageUsage({
  promptTokens,
  cachedTokens,
  completionTokens,
}: Pick<ChatUsage, "promptTokens" | "cachedTokens" | "completionTokens">) {
  return {
    input_tokens: promptTokens - cachedTokens,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cachedTokens,
    output_tokens: completionTokens,
  };
}
