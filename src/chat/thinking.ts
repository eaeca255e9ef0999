import type { Engine } from "../domain/engine.ts";
import type { ChatPrompt } from "../domain/generation.ts";

export const THINK_START = "<think>";
export const THINK_END = "</think>";

/** Where an answer may think: nowhere, at its beginning, or because the prompt has opened the block already. */
export type ThinkingPlace = "none" | "possible" | "open";

/**
 * Asks the model's template how an answer begins. What the client wrote is not looked at, but for a last turn of the
 * assistant that the answer goes on with.
 */
export function thinkingPlace(engine: Engine, { messages, ending, variables }: ChatPrompt): ThinkingPlace {
  const { chatTemplate } = engine.model;
  if (!chatTemplate.includes(THINK_END) || ending === "nothing") return "none";
  if (ending === "continue") {
    const text = messages.at(-1)?.content ?? "";
    const isOpen = text.lastIndexOf(THINK_START) > text.lastIndexOf(THINK_END);
    return isOpen ? "open" : "none";
  }
  const probe: ChatPrompt = {
    kind: "chat",
    messages: [{ role: "user", content: "x" }],
    ...(variables && { variables }),
  };
  const [closed, opened] = (["nothing", "answer"] as const).map((end) => engine.render({ ...probe, ending: end }));
  const turn = opened!.startsWith(closed!) ? opened!.slice(closed!.length) : opened!;
  if (turn.includes(THINK_END)) return "none";
  return turn.trimEnd().endsWith(THINK_START) ? "open" : "possible";
}
