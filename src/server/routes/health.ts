import type { RequestHandler } from "express";

import { CodedError } from "../../domain/errors.ts";
import type { Engine } from "../../domain/engine.ts";
import type { Lifecycle } from "../lifecycle.ts";
import { toLoadFailure } from "../readiness.ts";

/** GET /health. Never waits. */
export function health(engine: Engine, lifecycle: Lifecycle): RequestHandler {
  let failure: CodedError | undefined;
  engine.ready.catch((cause: unknown) => {
    failure = toLoadFailure(cause);
  });
  return (_req, res) => {
    if (lifecycle.isDraining) throw new CodedError("shutting_down", "The server is shutting down.");
    if (failure !== undefined) throw failure;
    if (!engine.isReady) {
      const progress = Math.round(engine.loadProgress * 100) / 100;
      throw new CodedError("model_loading", "Loading model", { details: { progress } });
    }
    res.json({ status: "ok" });
  };
}
