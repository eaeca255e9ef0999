import type { Response } from "express";

/** Aborts when the client is gone before its answer is complete. */
export function abortWhenClientLeaves(res: Response): AbortSignal {
  const controller = new AbortController();
  if (res.destroyed) controller.abort();
  else {
    res.once("close", () => {
      if (!res.writableFinished) controller.abort();
    });
  }
  return controller.signal;
}
