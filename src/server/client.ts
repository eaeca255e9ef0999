import { setMaxListeners } from "node:events";
import type { Response } from "express";

/** Aborts when the client is gone before its answer is complete. */
export function abortWhenClientLeaves(res: Response): AbortSignal {
  const controller = new AbortController();
  // One request may be many answers, each of which listens; the default of 10 is for finding leaks.
  setMaxListeners(0, controller.signal);
  if (res.destroyed) controller.abort();
  else {
    res.once("close", () => {
      if (!res.writableFinished) controller.abort();
    });
  }
  return controller.signal;
}
