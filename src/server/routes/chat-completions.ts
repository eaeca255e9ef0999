import type { RequestHandler } from "express";

import { startChat } from "../../chat/start-chat.ts";
import { createChatChunkEncoder } from "../../openai/chat-chunks.ts";
import { toChatCompletion } from "../../openai/chat-response.ts";
import { DONE_EVENT } from "../../openai/chunks.ts";
import { parseChatRequest } from "../../openai/request.ts";
import { generation, type GenerationOptions } from "../generation.ts";

/** POST /v1/chat/completions */
export function chatCompletions(options: GenerationOptions): RequestHandler {
  return generation(options, {
    idPrefix: "chatcmpl-",
    parse: parseChatRequest,
    start: (engine, { task }, signal) => startChat(engine, task, signal),
    form: (_engine, { task, oldCalls, includeUsage, returnTokens, responseFields }, head) => {
      const { choices, topLogprobs, postSampling = false } = task.generate;
      const report = { logprobs: topLogprobs !== undefined, postSampling, ids: returnTokens };
      return {
        whole: (steps) => toChatCompletion(head, { choices, report, oldCalls, fields: responseFields }, steps),
        encoder: () => createChatChunkEncoder(head, { choices, includeUsage, report, oldCalls }),
        lastEvent: DONE_EVENT,
      };
    },
  });
}
