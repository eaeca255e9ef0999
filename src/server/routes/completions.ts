import type { RequestHandler } from "express";

import type { Engine } from "../../domain/engine.ts";
import type { Prompt } from "../../domain/generation.ts";
import { createChunkEncoder, DONE_EVENT, textChunks } from "../../openai/chunks.ts";
import { parseCompletionRequest } from "../../openai/completion-request.ts";
import { toTextCompletion } from "../../openai/response.ts";
import { generation, type GenerationOptions } from "../generation.ts";
import { generateAll } from "../prompts.ts";

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

/** The prompt in the client's own words, token ids written out. */
function textOf(engine: Engine, prompt: Prompt): string {
  if (prompt.kind === "chat") return "";
  if (prompt.parts.every((part) => typeof part === "string")) return prompt.parts.join("");
  return engine.detokenize(engine.tokenize(prompt.parts, { addSpecial: false, parseSpecial: true }));
}
