import type { RequestHandler } from "express";

import { toPrompt } from "../../chat/prompt.ts";
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
    form: (engine, { task, oldCalls, includeUsage, returnTokens, responseFields, settings }, head) => {
      const { choices, topLogprobs, postSampling = false } = task.generate;
      const report = { logprobs: topLogprobs !== undefined, postSampling, ids: returnTokens };
      const origin = settings && {
        prompt: engine.render(toPrompt(engine, task).prompt),
        generation_settings: settings,
      };
      return {
        whole: (steps) => toChatCompletion(head, { choices, report, oldCalls, fields: responseFields, origin }, steps),
        encoder: () => createChatChunkEncoder(head, { choices, includeUsage, report, oldCalls }),
        lastEvent: DONE_EVENT,
      };
    },
  });
}
