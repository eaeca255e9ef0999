import type { RequestHandler } from "express";

import type { Log } from "../../log.ts";
import { createExchange, elapsedMs, type Exchange } from "../exchange.ts";

/** Names the request, in its answer and in the one line that is logged when it is over. */
export function requestId(log: Log): RequestHandler {
  return (req, res, next) => {
    const exchange = createExchange(req.get("x-request-id"));
    res.locals["exchange"] = exchange;
    res.set("X-Request-Id", exchange.id);
    res.once("close", () => {
      // An answer that was not sent in full was not wanted any more: 499, as nginx says.
      log("request", toLogData(exchange, req.method, res.writableFinished ? res.statusCode : 499));
    });
    next();
  };
}

function toLogData(exchange: Exchange, method: string, status: number): Record<string, unknown> {
  const { usage, timings, firstStepAt } = exchange;
  return {
    request: exchange.id,
    method,
    route: exchange.route,
    status,
    ms: elapsedMs(exchange),
    error: exchange.errorCode,
    ...(exchange.streamed && { streamed: true }),
    ...(firstStepAt !== undefined && { firstStepMs: Math.round(firstStepAt - exchange.startedAt) }),
    ...(usage && {
      promptTokens: usage.promptTokens,
      cachedTokens: usage.cachedTokens,
      completionTokens: usage.completionTokens,
    }),
    ...(timings && { promptMs: Math.round(timings.promptMs), predictedMs: Math.round(timings.predictedMs) }),
  };
}
