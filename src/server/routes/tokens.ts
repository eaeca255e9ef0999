import type { RequestHandler } from "express";

import type { Engine } from "../../domain/engine.ts";
import { parseDetokenizeRequest, parseTokenizeRequest, toTokenList } from "../../openai/token-requests.ts";
import { reportIgnored } from "../request-checks.ts";

/** POST /tokenize */
export function tokenize(engine: Engine): RequestHandler {
  return (req, res) => {
    const { parts, options, withPieces, ignored } = parseTokenizeRequest(req.body);
    const tokens = engine.tokenize(parts, options);
    reportIgnored(res, ignored);
    res.json(toTokenList(tokens, withPieces ? engine.pieces(tokens) : undefined));
  };
}

/** POST /detokenize */
export function detokenize(engine: Engine): RequestHandler {
  return (req, res) => {
    const { tokens, ignored } = parseDetokenizeRequest(req.body);
    const content = engine.detokenize(tokens);
    reportIgnored(res, ignored);
    res.json({ content });
  };
}
