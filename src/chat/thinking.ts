import type { Engine } from "../domain/engine.ts";
import type { ChatPrompt } from "../domain/generation.ts";

/** The words around thinking text. */
export interface ThinkingTags {
  readonly start: string;
  readonly end: string;
}

export const THINK: ThinkingTags = { start: "<think>", end: "</think>" };

/** Sources: the templates in the models' own files. */
const TAGS: readonly ThinkingTags[] = [
  THINK,
  // Seed-OSS
  { start: "<seed:think>", end: "</seed:think>" },
  // Magistral
  { start: "[THINK]", end: "[/THINK]" },
  // Command R7B and Command A
  { start: "<|START_THINKING|>", end: "<|END_THINKING|>" },
];

/** Those that a chat template writes; the usual ones where it writes none. */
export function tagsOf(template: string): ThinkingTags {
  return TAGS.find(({ end }) => template.includes(end)) ?? THINK;
}

/** Where an answer may think: nowhere, at its beginning, or because the prompt has opened the block already. */
export type ThinkingPlace = "none" | "possible" | "open";

/**
 * Asks the model's template how an answer begins. What the client wrote is not looked at, but for a last turn of the
 * assistant that the answer goes on with.
 */
export function thinkingPlace(engine: Engine, { messages, ending, variables }: ChatPrompt): ThinkingPlace {
  const { chatTemplate } = engine.model;
  const { start, end } = tagsOf(chatTemplate);
  if (!chatTemplate.includes(end) || ending === "nothing") return "none";
  if (ending === "continue") {
    const text = messages.at(-1)?.content ?? "";
    const isOpen = text.lastIndexOf(start) > text.lastIndexOf(end);
    return isOpen ? "open" : "none";
  }
  const probe: ChatPrompt = {
    kind: "chat",
    messages: [{ role: "user", content: "x" }],
    ...(variables && { variables }),
  };
  const [closed, opened] = (["nothing", "answer"] as const).map((how) => engine.render({ ...probe, ending: how }));
  const turn = opened!.startsWith(closed!) ? opened!.slice(closed!.length) : opened!;
  if (turn.includes(end)) return "none";
  return turn.trimEnd().endsWith(start) ? "open" : "possible";
}
