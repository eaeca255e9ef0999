import type { ChatFinishReason, ChatStep } from "../domain/chat.ts";
import type { Ending } from "../domain/generation.ts";
import { SIGNATURE, toMessageUsage, toStop, toToolUseId, type MessageHead } from "./answer.ts";
import type { MessageErrorBody } from "./error-envelope.ts";

/** Anthropic's sign of life. */
export const PING_EVENT = toEvent({ type: "ping" });

export function toErrorEvent(body: MessageErrorBody): string {
  return toEvent({ ...body });
}

function toEvent(data: { readonly type: string } & Readonly<Record<string, unknown>>): string {
  return `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;
}

type BlockType = "text" | "thinking" | "tool_use";

/**
 * Steps → the text of Anthropic's events. The message starts when it is known how much of the prompt was at hand:
 * with the first progress, or else with the first piece of the answer.
 */
export function createMessageEncoder(head: MessageHead, promptTokens: number): (step: ChatStep) => string {
  let cachedTokens: number | undefined;
  let index = -1;
  let open: BlockType | undefined;
  let end: { readonly reason: ChatFinishReason; readonly ending?: Ending } | undefined;

  function start(cached: number): string {
    if (cachedTokens !== undefined) return "";
    cachedTokens = cached;
    const { id, model } = head;
    const usage = toMessageUsage({ promptTokens, cachedTokens, completionTokens: 0 });
    const rest = { content: [], stop_reason: null, stop_sequence: null, usage };
    const message = { id, type: "message", role: "assistant", model, ...rest };
    return toEvent({ type: "message_start", message }) + PING_EVENT;
  }

  function openBlock(type: BlockType, block: Readonly<Record<string, unknown>>): string {
    const before = closeBlock();
    index += 1;
    open = type;
    return before + toEvent({ type: "content_block_start", index, content_block: { type, ...block } });
  }

  function delta(members: Readonly<Record<string, unknown>>): string {
    return toEvent({ type: "content_block_delta", index, delta: members });
  }

  function closeBlock(): string {
    if (open === undefined) return "";
    const signature = open === "thinking" ? delta({ type: "signature_delta", signature: SIGNATURE }) : "";
    open = undefined;
    return signature + toEvent({ type: "content_block_stop", index });
  }

  return (step) => {
    switch (step.type) {
      case "started":
        return "";
      case "progress":
        return start(step.progress.cached);
      case "text": {
        if (step.text === "") return "";
        const opening = open === "text" ? "" : openBlock("text", { text: "" });
        return start(0) + opening + delta({ type: "text_delta", text: step.text });
      }
      case "thinking": {
        if (step.text === "") return "";
        const opening = open === "thinking" ? "" : openBlock("thinking", { thinking: "", signature: SIGNATURE });
        return start(0) + opening + delta({ type: "thinking_delta", thinking: step.text });
      }
      case "call":
        return start(0) + openBlock("tool_use", { id: toToolUseId(step.id), name: step.name, input: {} });
      case "arguments":
        return step.text === "" ? "" : delta({ type: "input_json_delta", partial_json: step.text });
      case "finish":
        end = step;
        return "";
      case "done": {
        const usage = toMessageUsage(step.usage);
        const last = { delta: toStop(end?.reason ?? "stop", end?.ending), usage };
        return (
          start(step.usage.cachedTokens) +
          closeBlock() +
          toEvent({ type: "message_delta", ...last }) +
          toEvent({ type: "message_stop" })
        );
      }
      default:
        return step satisfies never;
    }
  };
}
