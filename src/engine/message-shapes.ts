import type { ChatMessage } from "../domain/generation.ts";

const asGiven = (messages: readonly ChatMessage[]) => messages;

/** For templates without a system role: its text goes in front of the first user turn. */
function withSystemInFirstTurn(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const system = messages.filter((message) => message.role === "system").map((message) => message.content);
  const rest = messages.filter((message) => message.role !== "system");
  const first = rest.findIndex((message) => message.role === "user");
  const text = system.join("\n\n");
  if (first < 0) return [{ role: "user", content: text }, ...rest];
  return rest.map((message, index) =>
    index === first && text !== "" ? { ...message, content: `${text}\n\n${message.content}` } : message,
  );
}

/** For templates that want user and assistant in turns: neighbours of one role become one message. */
function withTurnsMerged(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const merged: ChatMessage[] = [];
  for (const message of withSystemInFirstTurn(messages)) {
    const role = message.role === "tool" ? "user" : message.role;
    const last = merged.at(-1);
    if (last?.role === role) merged[merged.length - 1] = { ...last, content: `${last.content}\n\n${message.content}` };
    else merged.push({ ...message, role });
  }
  if (merged[0]?.role === "assistant") merged.unshift({ role: "user", content: "" });
  return merged;
}

/** From what the client gave to what the strictest templates take. */
export const SHAPES = [asGiven, withSystemInFirstTurn, withTurnsMerged] as const;
