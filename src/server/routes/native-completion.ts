import type { RequestHandler } from "express";

import { CodedError } from "../../domain/errors.ts";
import type { Engine } from "../../domain/engine.ts";
import { parseInfillRequest } from "../../openai/infill-request.ts";
import { createNativeEncoder, toNativeAnswer, type NativeHead } from "../../openai/native-answer.ts";
import { parseNativeRequest, type NativeRequest } from "../../openai/native-request.ts";
import { generation, type GenerationOptions, type GenerationRoute } from "../generation.ts";
import { generateAll, textOf, type PromptsGeneration } from "../prompts.ts";

/** POST /completion: llama.cpp's own route. */
export function nativeCompletion(options: GenerationOptions): RequestHandler {
  return native(options, parseNativeRequest, (engine, { generate }, signal) => generateAll(engine, generate, signal));
}

/** POST /infill: a text with a gap in, what fills the gap out. Errors: `not_supported` by models that cannot. */
export function infill(options: GenerationOptions): RequestHandler {
  return native(options, parseInfillRequest, (engine, { generate }, signal) => {
    if (!engine.model.hasInfill) throw new CodedError("not_supported", CANNOT_INFILL);
    return generateAll(engine, generate, signal);
  });
}

const CANNOT_INFILL =
  "The model has no control tokens for filling a gap in a text. POST /completion continues a text from its end.";

function native(
  options: GenerationOptions,
  parse: GenerationRoute<NativeRequest, PromptsGeneration>["parse"],
  start: GenerationRoute<NativeRequest, PromptsGeneration>["start"],
): RequestHandler {
  return generation(options, {
    idPrefix: "",
    parse,
    start,
    form: (engine, request, { model }, started) => {
      const head = toNativeHead(engine, request, model, started.promptTokensEach);
      return {
        whole: (steps) => toNativeAnswer(head, steps),
        encoder: () => createNativeEncoder(head),
        lastEvent: "",
      };
    },
  });
}

function toNativeHead(
  engine: Engine,
  { generate, isList, settings, returnTokens, responseFields }: NativeRequest,
  model: string,
  promptTokens: readonly number[],
): NativeHead {
  const { choices, postSampling = false } = generate[0]!;
  return {
    model,
    contextLength: engine.model.contextLength,
    prompts: generate.map(({ prompt }, index) => ({ text: textOf(engine, prompt), tokens: promptTokens[index] ?? 0 })),
    choices,
    isList,
    settings,
    postSampling,
    returnTokens,
    responseFields,
  };
}
