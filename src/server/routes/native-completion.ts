import type { RequestHandler } from "express";

import { createNativeEncoder, toNativeAnswer, type NativeHead } from "../../openai/native-answer.ts";
import { parseNativeRequest } from "../../openai/native-request.ts";
import { generation, type GenerationOptions } from "../generation.ts";
import { generateAll, textOf } from "../prompts.ts";

/** POST /completion: llama.cpp's own route. */
export function nativeCompletion(options: GenerationOptions): RequestHandler {
  return generation(options, {
    idPrefix: "",
    parse: parseNativeRequest,
    start: (engine, { generate }, signal) => generateAll(engine, generate, signal),
    form: (engine, { generate, isList, settings }, { model }, { promptTokensEach }) => {
      const results = generate.flatMap(({ prompt, choices }, index) => {
        const result = { prompt: textOf(engine, prompt), promptTokens: promptTokensEach[index] ?? 0 };
        return Array.from({ length: choices }, () => result);
      });
      const head: NativeHead = { model, contextLength: engine.model.contextLength, results, isList, settings };
      return {
        whole: (steps) => toNativeAnswer(head, steps),
        encoder: () => createNativeEncoder(head),
        lastEvent: "",
      };
    },
  });
}
