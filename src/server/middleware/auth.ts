import { createHash, timingSafeEqual } from "node:crypto";
import type { Request, RequestHandler } from "express";

import { CodedError } from "../../domain/errors.ts";
import type { Sha256 } from "../../domain/hash.ts";

/** Wants one of the keys with these hashes. Without any, every key and none is fine. Errors: `invalid_api_key`. */
export function auth(keyHashes: readonly Sha256[]): RequestHandler {
  const expected = keyHashes.map((hash) => Buffer.from(hash, "hex"));
  return (req, res, next) => {
    if (expected.length === 0 || keysOf(req).some((key) => isOneOf(expected, key))) {
      next();
      return;
    }
    res.set("WWW-Authenticate", "Bearer");
    const given = keysOf(req).length > 0;
    throw new CodedError(
      "invalid_api_key",
      given
        ? "The API key is not valid."
        : "An API key is required: send it in the header 'Authorization: Bearer KEY' or 'X-Api-Key: KEY'.",
    );
  };
}

function keysOf(req: Request): string[] {
  const bearer = /^Bearer +(.+)$/i.exec(req.get("authorization") ?? "")?.[1];
  return [bearer, req.get("x-api-key")].filter((key) => key !== undefined && key !== "") as string[];
}

/** Takes the same time whichever hash fits, or none. */
function isOneOf(expected: readonly Buffer[], key: string): boolean {
  const hash = createHash("sha256").update(key).digest();
  let found = false;
  for (const candidate of expected) found = timingSafeEqual(candidate, hash) || found;
  return found;
}
