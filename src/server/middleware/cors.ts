import type { RequestHandler } from "express";

// A lone `*` would not cover Authorization in browsers.
const REQUEST_HEADERS =
  "Authorization, Content-Type, X-Api-Key, X-Request-Id, OpenAI-Organization, OpenAI-Project, anthropic-version, anthropic-beta";

/** Lets pages of any origin, or of the configured one, call every path; answers all preflights. */
export function cors(origin: string): RequestHandler {
  return (req, res, next) => {
    res.set({
      "Access-Control-Allow-Origin": origin,
      "Access-Control-Expose-Headers": "X-Request-Id, Retry-After, X-Ignored-Params, openai-processing-ms",
    });
    if (req.method !== "OPTIONS") {
      next();
      return;
    }
    res.set({
      "Access-Control-Allow-Methods": "GET, POST, DELETE, HEAD, OPTIONS",
      "Access-Control-Allow-Headers": req.get("access-control-request-headers") ?? REQUEST_HEADERS,
      "Access-Control-Max-Age": "86400",
    });
    res.status(204).end();
  };
}
