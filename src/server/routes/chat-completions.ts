import type { RequestHandler } from "express";

import { CHAT_CHUNKS, createChunkEncoder, DONE_EVENT } from "../../openai/chunks.ts";
import { parseChatRequest } from "../../openai/request.ts";
import { toChatCompletion } from "../../openai/response.ts";
import { generation, type GenerationOptions } from "../generation.ts";

/** POST /v1/chat/completions */
export function chatCompletions(options: GenerationOptions): RequestHandler {
  return generation(options, {
    idPrefix: "chatcmpl-",
    parse: parseChatRequest,
    start: (engine, request, signal) => engine.generate(request.generate, signal),
    form: (_engine, { generate: { choices, topLogprobs }, includeUsage }, head) => ({
      whole: (steps) => toChatCompletion(head, { choices, logprobs: topLogprobs !== undefined }, steps),
      encoder: () => createChunkEncoder(head, { choices, includeUsage, form: CHAT_CHUNKS }),
      lastEvent: DONE_EVENT,
    }),
  });
}
