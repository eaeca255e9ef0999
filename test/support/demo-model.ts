import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import {
  DEFAULT_SAMPLERS,
  type ChatMessage,
  type GenerateRequest,
  type SamplingOptions,
  type ToolDefinition,
} from "../../src/domain/generation.ts";

// Compiled tests live in dist/test/support, three levels below the repository.
const root = new URL("../../../", import.meta.url);

/** The model that ships with the project: 2 million parameters, ChatML, real inference in milliseconds. */
export const demoModelPath = fileURLToPath(new URL("deploy/catalogue/demo/aleph-tiny-chat.Q8_0.gguf", root));

export interface Transcript {
  readonly skill: string;
  readonly messages: readonly WireMessage[];
  readonly tools?: readonly { readonly function: ToolDefinition }[];
  readonly expected_text: string;
  readonly expected_tool_calls?: readonly { readonly name: string; readonly arguments: object }[];
  readonly expected_raw: string;
}

interface WireMessage {
  readonly role: ChatMessage["role"];
  readonly content: string | null;
  readonly tool_call_id?: string;
  readonly tool_calls?: readonly { id?: string; function: { name: string; arguments: unknown } }[];
}

/** Greedy answers whose every token leads by a wide margin, so that they hold on any CPU. */
export const transcripts = JSON.parse(
  readFileSync(new URL("test/fixtures/transcripts.json", root), "utf8"),
) as readonly Transcript[];

export const greedy: SamplingOptions = {
  temperature: 0,
  topK: 40,
  topP: 0.95,
  minP: 0.05,
  repeatPenalty: 1,
  repeatLastN: 64,
  presencePenalty: 0,
  frequencyPenalty: 0,
  xtcProbability: 0,
  xtcThreshold: 0.1,
  dry: undefined,
  typicalP: 1,
  topNSigma: -1,
  dynatempRange: 0,
  dynatempExponent: 1,
  minKeep: 0,
  mirostat: undefined,
  adaptiveP: undefined,
  samplers: DEFAULT_SAMPLERS,
  logitBias: [],
  ignoreEos: false,
  seed: undefined,
};

export const creative: SamplingOptions = { ...greedy, temperature: 1.5, topK: 0, topP: 1, minP: 0, seed: 7n };

export function chatRequest(
  messages: readonly ChatMessage[] | string,
  options: Partial<Omit<GenerateRequest, "prompt">> & { tools?: readonly ToolDefinition[] } = {},
): GenerateRequest {
  const { tools, ...rest } = options;
  const list = typeof messages === "string" ? [{ role: "user", content: messages } as const] : messages;
  return {
    prompt: { kind: "chat", messages: list, ...(tools !== undefined && { tools }) },
    choices: 1,
    maxTokens: 256,
    stop: [],
    grammar: undefined,
    sampling: greedy,
    topLogprobs: undefined,
    ...rest,
  };
}

export function requestOf(transcript: Transcript): GenerateRequest {
  const messages = transcript.messages.map(({ role, content, tool_call_id, tool_calls }): ChatMessage => ({
    role,
    content: content ?? "",
    ...(tool_call_id !== undefined && { toolCallId: tool_call_id }),
    ...(tool_calls !== undefined && {
      toolCalls: tool_calls.map((call) => ({
        id: call.id ?? "",
        name: call.function.name,
        arguments:
          typeof call.function.arguments === "string"
            ? call.function.arguments
            : JSON.stringify(call.function.arguments),
      })),
    }),
  }));
  const tools = transcript.tools?.map((tool) => tool.function);
  return chatRequest(messages, tools === undefined ? {} : { tools });
}

/** As shared with the model. */
export const DEMO_BYTES = 2_187_008;
export const DEMO_SHA256 = "ad0cbd6ae2b8f9adffc5f531c53f58a93a62445299a3d922aeb5496b84d5ced6";
