import type { Request, RequestHandler } from "express";

import { CodedError } from "../../domain/errors.ts";
import { exchangeOf } from "../exchange.ts";

/** Some gateways pass on the prefix that names this program, others strip it. */
const PROGRAM_PREFIX = /^\/vm\/[0-9A-Za-z]+(?=\/|$)/;

/** Clients that take this server for a proxy send whole URLs. Every server has to take them: RFC 9112, 3.2.2. */
const ABSOLUTE_FORM = /^https?:\/\/[^/?]*/i;

/** Makes one path of its spellings: no program prefix, no duplicate slashes, no trailing slash. */
export const paths: RequestHandler = (req, _res, next) => {
  const target = req.url.replace(ABSOLUTE_FORM, "");
  const query = target.indexOf("?");
  const path = query === -1 ? target : target.slice(0, query);
  const plain = path
    .replaceAll(/\/{2,}/g, "/")
    .replace(PROGRAM_PREFIX, "")
    .replace(/\/$/, "");
  req.url = (plain === "" ? "/" : plain) + (query === -1 ? "" : target.slice(query));
  next();
};

const MESSAGES = /^\/v1\/messages(?=\/|$)/;

/** Whether the client speaks Anthropic's API, whatever of it there is at this path. */
export function isForMessages(req: Request): boolean {
  return MESSAGES.test(req.path);
}

/** Anthropic's clients read the request's id from a header of another name. */
export const messagesRequestId: RequestHandler = (req, res, next) => {
  if (isForMessages(req)) res.set("request-id", exchangeOf(res).id);
  next();
};

/** The last route. */
export const unknownPath: RequestHandler = (req) => {
  throw new CodedError("not_found", `Unknown path: ${req.method} ${req.path.slice(0, 100)}.`);
};

/** Answers what no handler of a path took. `HEAD` belongs to `GET`, `OPTIONS` to every path. */
export function onlyMethods(...methods: readonly string[]): RequestHandler {
  const allowed = [...methods, "OPTIONS"].join(", ");
  return (req, res) => {
    res.set("Allow", allowed);
    throw new CodedError(
      "method_not_allowed",
      `${req.method} is not allowed on ${req.path.slice(0, 100)}; allowed: ${allowed}.`,
    );
  };
}
