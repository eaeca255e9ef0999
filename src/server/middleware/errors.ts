import type { ErrorRequestHandler } from "express";

import { toMessageError } from "../../anthropic/error-envelope.ts";
import { CodedError } from "../../domain/errors.ts";
import { describeError, type Log } from "../../log.ts";
import { toErrorAnswer } from "../../openai/error-envelope.ts";
import { elapsedMs, exchangeOf } from "../exchange.ts";
import { isForMessages } from "./paths.ts";

/** Answers every refusal and every fault. Faults are logged in full and told to nobody. */
export function errors(log: Log): ErrorRequestHandler {
  // Express knows an error handler by its four parameters.
  return (thrown: unknown, req, res, _next) => {
    const error = isBadPath(thrown) ? new CodedError("not_found", "The path is not validly percent-encoded.") : thrown;
    const { status, body, retryAfterSeconds } = toErrorAnswer(error);
    const exchange = exchangeOf(res);
    exchange.errorCode = body.error.code ?? body.error.type;
    if (status === 500) log("fault", { request: exchange.id, reason: describeError(error) });
    if (res.headersSent || res.destroyed) {
      res.destroy();
      return;
    }
    if (retryAfterSeconds !== undefined) res.set("Retry-After", String(retryAfterSeconds));
    res.set("openai-processing-ms", String(elapsedMs(exchange)));
    res.status(status).json(isForMessages(req) ? toMessageError(error, exchange.id) : body);
  };
}

/** What the router throws when it cannot decode a part of the path. */
function isBadPath(error: unknown): boolean {
  return error instanceof URIError;
}
