import type { RequestHandler } from "express";

import type { Engine } from "../../domain/engine.ts";
import type { ProgramFacts } from "../../domain/model.ts";
import { toAbout } from "../../openai/about.ts";

interface AboutOptions {
  readonly engine: Engine;
  readonly apiKeyHashes: readonly unknown[];
  readonly facts?: ProgramFacts;
}

/** GET /about.json. Never waits, needs no key. */
export function about({ engine, apiKeyHashes, facts = {} }: AboutOptions): RequestHandler {
  let failed = false;
  engine.ready.catch(() => {
    failed = true;
  });
  return (_req, res) => {
    const status = engine.isReady ? "ready" : failed ? "failed" : "loading";
    res.set("Cache-Control", "no-store");
    res.json({
      status,
      progress: engine.isReady ? 1 : engine.loadProgress,
      requires_key: apiKeyHashes.length > 0,
      ...toAbout(engine.isReady ? { card: engine.model, slots: engine.status().slots.length } : undefined, facts),
    });
  };
}
