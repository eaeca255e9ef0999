/** What arrives of an answer, whichever way it comes. */
import type { AnswerStats, Turn } from "./conversation.ts";

export type Piece =
  | { readonly type: "text" | "thinking"; readonly text: string }
  | { readonly type: "call"; readonly id: string; readonly name: string }
  /** For the call that began last. */
  | { readonly type: "arguments"; readonly text: string }
  | { readonly type: "end"; readonly cut: boolean; readonly stats: AnswerStats | undefined };

export function withPiece(turn: Turn, piece: Piece): Turn {
  switch (piece.type) {
    case "text":
      return { ...turn, text: turn.text + piece.text };
    case "thinking":
      return { ...turn, thinking: (turn.thinking ?? "") + piece.text };
    case "call":
      return { ...turn, calls: [...(turn.calls ?? []), { id: piece.id, name: piece.name, arguments: "" }] };
    case "arguments":
      return {
        ...turn,
        calls: (turn.calls ?? []).map((call, at, calls) =>
          at === calls.length - 1 ? { ...call, arguments: call.arguments + piece.text } : call,
        ),
      };
    case "end":
      return {
        ...turn,
        ...(piece.stats === undefined ? {} : { stats: piece.stats }),
        ...(piece.cut ? { ending: "length" as const } : {}),
      };
    default:
      return piece satisfies never;
  }
}

export interface Question {
  readonly turns: readonly Turn[];
  readonly systemPrompt: string;
  /** Members of the request, as the settings give them. */
  readonly sampling: Readonly<Record<string, unknown>>;
  /** OpenAI's list of functions; undefined for none. */
  readonly tools: readonly unknown[] | undefined;
}
