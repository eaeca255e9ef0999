import type { RequestHandler } from "express";

import { toMessage } from "../../anthropic/answer.ts";
import { toMessageError } from "../../anthropic/error-envelope.ts";
import { createMessageEncoder, PING_EVENT, toErrorEvent } from "../../anthropic/events.ts";
import { parseMessageCount, parseMessageRequest } from "../../anthropic/request.ts";
import { toPrompt } from "../../chat/prompt.ts";
import { startChat } from "../../chat/start-chat.ts";
import type { Engine } from "../../domain/engine.ts";
import type { ModelDefaults } from "../../domain/model-defaults.ts";
import { generation, type GenerationOptions } from "../generation.ts";
import { reportIgnored, requireModel } from "../request-checks.ts";

/** POST /v1/messages */
export function messages(options: GenerationOptions): RequestHandler {
  return generation(options, {
    idPrefix: "msg_",
    parse: parseMessageRequest,
    start: (engine, { task, stream }, signal) => {
      // How much of the prompt was at hand belongs into the first event.
      const generate = stream ? { ...task.generate, reportProgress: true } : task.generate;
      return startChat(engine, { ...task, generate }, signal);
    },
    form: (_engine, _request, head, { promptTokens }) => ({
      whole: (steps) => toMessage(head, steps),
      encoder: () => createMessageEncoder(head, promptTokens),
      lastEvent: "",
      errorEvent: (error, requestId) => toErrorEvent(toMessageError(error, requestId)),
      ping: PING_EVENT,
    }),
  });
}

interface CountOptions {
  readonly engine: Engine;
  readonly anyModel: boolean;
  readonly defaults?: ModelDefaults;
}

/** POST /v1/messages/count_tokens: all that the same request's usage would count as input, cached or not. */
export function messageTokens({ engine, anyModel, defaults }: CountOptions): RequestHandler {
  return async (req, res) => {
    const { model, task, ignored } = parseMessageCount(req.body, defaults);
    requireModel(engine, model, anyModel);
    const count = await engine.count(toPrompt(engine, task).prompt);
    reportIgnored(res, ignored);
    res.json({ input_tokens: count });
  };
}
