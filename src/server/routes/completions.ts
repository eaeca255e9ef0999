import type { RequestHandler } from "express";

import type { Engine } from "../../domain/engine.ts";
import { CodedError } from "../../domain/errors.ts";
import type { Prompt } from "../../domain/generation.ts";
import { DONE_EVENT } from "../../openai/chunks.ts";
import { parseCompletionRequest } from "../../openai/completion-request.ts";
import { createTextEncoder, toTextCompletion, type TextPlan } from "../../openai/text-answer.ts";
import { generation, type GenerationOptions } from "../generation.ts";
import { generateAll, textOf } from "../prompts.ts";

/** POST /v1/completions: raw text in, its continuation out. */
export function completions(options: GenerationOptions): RequestHandler {
  return generation(options, {
    idPrefix: "cmpl-",
    parse: parseCompletionRequest,
    start(engine, { generate }, signal) {
      if (generate[0]!.prompt.kind === "infill" && !engine.model.hasInfill) throw cannotInfill();
      return generateAll(engine, generate, signal);
    },
    form: (engine, request, head) => {
      const { generate, echo, wanted } = request;
      const plan: TextPlan = {
        echo: generate.map(({ prompt }) => (echo ? echoOf(engine, prompt) : "")),
        choices: generate[0]!.choices,
        wanted,
        logprobs: request.logprobs,
        postSampling: generate[0]!.postSampling ?? false,
        promptLogprobs: generate[0]!.promptLogprobs !== undefined,
        returnTokens: request.returnTokens,
        responseFields: request.responseFields,
        includeUsage: request.includeUsage,
      };
      return {
        whole: (steps) => toTextCompletion(head, plan, steps),
        encoder: () => createTextEncoder(head, plan),
        lastEvent: DONE_EVENT,
      };
    },
  });
}

/** The client's own words, without the tokens that mark a gap. */
function echoOf(engine: Engine, prompt: Prompt): string {
  return prompt.kind === "infill" ? prompt.prefix : textOf(engine, prompt);
}

function cannotInfill(): CodedError {
  return new CodedError(
    "unsupported_parameter",
    "Unsupported parameter 'suffix': the model has no control tokens for filling a gap in a text. Leave it out.",
    { param: "suffix" },
  );
}
