import type { RequestHandler } from "express";

import { CodedError } from "../../domain/errors.ts";
import type { Engine } from "../../domain/engine.ts";
import type { Lifecycle } from "../lifecycle.ts";

/** GET /health. Never waits. */
export function health(engine: Engine, lifecycle: Lifecycle): RequestHandler {
  let failed = false;
  engine.ready.catch(() => {
    failed = true;
  });
  return (_req, res) => {
    if (lifecycle.isDraining) throw new CodedError("shutting_down", "The server is shutting down.");
    if (failed) throw new CodedError("model_load_failed", "the model could not be loaded");
    if (!engine.isReady) {
      const progress = Math.round(engine.loadProgress * 100) / 100;
      throw new CodedError("model_loading", "Loading model", { details: { progress } });
    }
    res.json({ status: "ok" });
  };
}
