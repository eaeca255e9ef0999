import type { RequestHandler } from "express";

import { createChunkEncoder, DONE_EVENT, textChunks } from "../../openai/chunks.ts";
import { parseCompletionRequest } from "../../openai/completion-request.ts";
import { toTextCompletion } from "../../openai/response.ts";
import { generation, type GenerationOptions } from "../generation.ts";
import { generateAll, textOf } from "../prompts.ts";

/** POST /v1/completions: raw text in, its continuation out. */
export function completions(options: GenerationOptions): RequestHandler {
  return generation(options, {
    idPrefix: "cmpl-",
    parse: parseCompletionRequest,
    start: (engine, { generate }, signal) => generateAll(engine, generate, signal),
    form: (engine, { generate, echo, includeUsage }, head) => {
      // Choices are numbered prompt by prompt.
      const before = generate.flatMap(({ prompt, choices }) =>
        Array.from<string>({ length: choices }).fill(echo ? textOf(engine, prompt) : ""),
      );
      return {
        whole: (steps) => toTextCompletion(head, before, steps),
        encoder: () => createChunkEncoder(head, { choices: before.length, includeUsage, form: textChunks(before) }),
        lastEvent: DONE_EVENT,
      };
    },
  });
}
