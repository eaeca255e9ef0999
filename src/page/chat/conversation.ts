/** A conversation as the page keeps it, and as the server is asked. Pure. */

export interface ToolCall {
  readonly id: string;
  readonly name: string;
  readonly arguments: string;
}

export interface AnswerStats {
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** Undefined where the server does not tell it. */
  readonly tokensPerSecond?: number | undefined;
}

export interface Turn {
  readonly role: "user" | "assistant" | "tool";
  readonly text: string;
  readonly thinking?: string;
  readonly calls?: readonly ToolCall[];
  /** Of a tool's result: which call it answers. */
  readonly callId?: string;
  readonly stats?: AnswerStats;
  /** Why it ended before its end. */
  readonly ending?: "stopped" | "length" | "failed";
  readonly error?: string;
}

export interface Conversation {
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly changedAt: number;
  readonly turns: readonly Turn[];
}

export function newConversation(): Conversation {
  return { id: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`, changedAt: Date.now(), turns: [] };
}

const TITLE_CHARACTERS = 60;

export function titleOf({ turns }: Conversation): string {
  const first =
    turns
      .find(({ role }) => role === "user")
      ?.text.trim()
      .replaceAll(/\s+/g, " ") ?? "";
  if (first === "") return "New chat";
  return first.length > TITLE_CHARACTERS ? `${first.slice(0, TITLE_CHARACTERS)}…` : first;
}

/** Thinking in tags of the model's own, where the server leaves it in the text. */
export function splitThinking({ text, thinking = "" }: Turn): { thinking: string; text: string; isThinking: boolean } {
  const open = /^\s*<think(?:ing)?>/.exec(text);
  if (open === null) return { thinking, text, isThinking: thinking !== "" && text === "" };
  const rest = text.slice(open[0].length);
  const close = /<\/think(?:ing)?>\s*/.exec(rest);
  if (close === null) return { thinking: rest, text: "", isThinking: true };
  return {
    thinking: thinking + rest.slice(0, close.index).trim(),
    text: rest.slice(close.index + close[0].length),
    isThinking: false,
  };
}

/** Messages of a chat completion. Thinking is not sent back; turns that said nothing are left out. */
export function toMessages(turns: readonly Turn[], systemPrompt: string): Record<string, unknown>[] {
  const system = systemPrompt.trim() === "" ? [] : [{ role: "system", content: systemPrompt }];
  return [
    ...system,
    ...turns.flatMap((turn): Record<string, unknown>[] => {
      if (turn.role === "tool") return [{ role: "tool", tool_call_id: turn.callId, content: turn.text }];
      if (turn.role === "user") return [{ role: "user", content: turn.text }];
      const { text } = splitThinking(turn);
      const calls = turn.calls ?? [];
      if (text === "" && calls.length === 0) return [];
      const toolCalls = calls.map(({ id, name, arguments: given }) => ({
        id,
        type: "function",
        function: { name, arguments: given },
      }));
      return [{ role: "assistant", content: text, ...(calls.length === 0 ? {} : { tool_calls: toolCalls }) }];
    }),
  ];
}

/** Items of a response's input, the same turns. */
export function toInputItems(turns: readonly Turn[]): Record<string, unknown>[] {
  return turns.flatMap((turn): Record<string, unknown>[] => {
    if (turn.role === "tool") return [{ type: "function_call_output", call_id: turn.callId, output: turn.text }];
    if (turn.role === "user") return [{ role: "user", content: turn.text }];
    const { text } = splitThinking(turn);
    return [
      ...(text === "" ? [] : [{ role: "assistant", content: text }]),
      ...(turn.calls ?? []).map(({ id, name, arguments: given }) => ({
        type: "function_call",
        call_id: id,
        name,
        arguments: given,
      })),
    ];
  });
}
