import type { RequestHandler } from "express";

import { CodedError } from "../../domain/errors.ts";
import type { Engine } from "../../domain/engine.ts";
import type { Lifecycle } from "../lifecycle.ts";

/** GET /health. Never waits. */
export function health(engine: Engine, lifecycle: Lifecycle): RequestHandler {
  let failure: unknown;
  engine.ready.catch((error: unknown) => {
    failure = error;
  });
  return (_req, res) => {
    if (lifecycle.isDraining) throw new CodedError("shutting_down", "The server is shutting down.");
    if (failure !== undefined) throw failure;
    if (!engine.isReady) throw new CodedError("model_loading", "Loading model");
    res.json({ status: "ok" });
  };
}
