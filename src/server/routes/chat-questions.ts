import type { RequestHandler } from "express";

import { toPrompt } from "../../chat/prompt.ts";
import type { Engine } from "../../domain/engine.ts";
import type { ModelDefaults } from "../../domain/model-defaults.ts";
import { parseChatRequest } from "../../openai/request.ts";
import { reportIgnored, requireModel } from "../request-checks.ts";

interface ChatQuestionOptions {
  readonly engine: Engine;
  readonly anyModel: boolean;
  readonly defaults?: ModelDefaults;
}

/** POST /v1/chat/completions/input_tokens: what the same request's usage would count. */
export function inputTokens({ engine, anyModel, defaults }: ChatQuestionOptions): RequestHandler {
  return async (req, res) => {
    const { model, task, ignored } = parseChatRequest(req.body, defaults);
    requireModel(engine, model, anyModel);
    const count = await engine.count(toPrompt(engine, task).prompt);
    reportIgnored(res, ignored);
    res.json({ object: "response.input_tokens", input_tokens: count });
  };
}

/** POST /apply-template: the conversation as the model would read it. */
export function applyTemplate({ engine, anyModel, defaults }: ChatQuestionOptions): RequestHandler {
  return (req, res) => {
    const { model, task, ignored } = parseChatRequest(req.body, defaults);
    requireModel(engine, model, anyModel);
    const text = engine.render(toPrompt(engine, task).prompt);
    reportIgnored(res, ignored);
    res.json({ prompt: text });
  };
}
