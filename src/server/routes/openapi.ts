import type { RequestHandler } from "express";

import { createOpenApi } from "../../openai/openapi.ts";

/** GET /openapi.json */
export function openApi(): RequestHandler {
  // Made on first demand: a start waits for nothing that few ask for.
  let text: string | undefined;
  return (_req, res) => {
    text ??= JSON.stringify(createOpenApi());
    res.type("json").send(text);
  };
}
