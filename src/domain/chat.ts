import type {
  ChatMessage,
  Ending,
  GenerateRequest,
  Progress,
  Timings,
  TokenChance,
  ToolDefinition,
  Usage,
} from "./generation.ts";

/** Which tools an answer may, or must, call. */
export type ToolChoice =
  | { readonly mode: "none" }
  /** The model decides; a call that begins fits its schema. */
  | { readonly mode: "auto"; readonly only?: readonly string[] }
  /** At least one call and nothing else. */
  | { readonly mode: "required"; readonly only?: readonly string[] }
  /** Exactly one call of this function. */
  | { readonly mode: "function"; readonly name: string };

/** A chat request in the words of none of the APIs: chat completions, responses and messages all come to this. */
export interface ChatTask {
  readonly messages: readonly ChatMessage[];
  readonly tools: readonly ToolDefinition[];
  readonly toolChoice: ToolChoice;
  /** False: at most one call. */
  readonly parallelCalls: boolean;
  /** `auto` and `deepseek` take thinking text out of the answer, `none` leaves it in. */
  readonly thinking: "auto" | "deepseek" | "none";
  readonly ending: "answer" | "nothing" | "continue";
  /** Of the template; holds what `reasoning_effort` and the like come to. */
  readonly variables: Readonly<Record<string, unknown>>;
  /** All but the prompt. Its `grammar` governs an answer in text, never a call. */
  readonly generate: Omit<GenerateRequest, "prompt">;
}

export type ChatFinishReason = "stop" | "length" | "tool_calls";

export interface ChatUsage extends Usage {
  /** Of the completion's tokens, those of thinking text. */
  readonly thinkingTokens: number;
}

/**
 * What a chat answer is made of. The order is that of GenerationStep; within a choice thinking comes first, and the
 * pieces of one call are not mixed with those of another. The `arguments` of a call join to valid JSON, unless the
 * choice ends with `length`.
 */
export type ChatStep =
  | { readonly type: "started"; readonly slot?: number }
  | { readonly type: "progress"; readonly progress: Progress }
  | (ChatPiece & { readonly type: "thinking" | "text"; readonly text: string })
  | (ChatPiece & { readonly type: "call"; readonly call: number; readonly id: string; readonly name: string })
  | (ChatPiece & { readonly type: "arguments"; readonly call: number; readonly text: string })
  | {
      readonly type: "finish";
      readonly choice: number;
      readonly reason: ChatFinishReason;
      readonly ending?: Ending;
    }
  | { readonly type: "done"; readonly usage: ChatUsage; readonly timings: Timings };

export interface ChatPiece {
  readonly choice: number;
  /** The tokens whose text ends here, where they were asked for. */
  readonly tokens?: readonly TokenChance[];
  /** Their ids, where they were asked for. */
  readonly ids?: readonly number[];
  readonly timings?: Timings;
}

/** An accepted chat. */
export interface ChatGeneration {
  readonly promptTokens: number;
  /** As `Generation.steps`. */
  readonly steps: AsyncIterable<ChatStep>;
}
