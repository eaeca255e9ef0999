import type { RequestHandler } from "express";

import type { Engine } from "../../domain/engine.ts";
import { parseChatQuestion } from "../../openai/request.ts";
import { reportIgnored, requireModel } from "../request-checks.ts";

interface ChatQuestionOptions {
  readonly engine: Engine;
  readonly anyModel: boolean;
}

/** POST /v1/chat/completions/input_tokens: what the same request's usage would count. */
export function inputTokens({ engine, anyModel }: ChatQuestionOptions): RequestHandler {
  return async (req, res) => {
    const { model, prompt, ignored } = parseChatQuestion(req.body);
    requireModel(engine, model, anyModel);
    const count = await engine.count(prompt);
    reportIgnored(res, ignored);
    res.json({ object: "response.input_tokens", input_tokens: count });
  };
}

/** POST /apply-template: the conversation as the model would read it. */
export function applyTemplate({ engine, anyModel }: ChatQuestionOptions): RequestHandler {
  return (req, res) => {
    const { model, prompt, ignored } = parseChatQuestion(req.body);
    requireModel(engine, model, anyModel);
    const text = engine.render(prompt);
    reportIgnored(res, ignored);
    res.json({ prompt: text });
  };
}
