import { CodedError } from "../domain/errors.ts";
import type { Engine } from "../domain/engine.ts";

/** Errors: `model_loading` after `limitMs`, `client_left`, `model_load_failed`. */
export async function waitUntilReady(engine: Engine, limitMs: number, signal: AbortSignal): Promise<void> {
  if (engine.isReady) return;
  let timer: NodeJS.Timeout | undefined;
  let leave: (() => void) | undefined;
  const givenUp = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new CodedError("model_loading", "Loading model")), limitMs);
    leave = () => reject(new CodedError("client_left", "The client left while the model was loading."));
    signal.addEventListener("abort", leave);
    if (signal.aborted) leave();
  });
  try {
    await Promise.race([engine.ready.catch(toLoadFailure), givenUp]);
  } finally {
    clearTimeout(timer);
    if (leave) signal.removeEventListener("abort", leave);
  }
}

/**
 * Whatever went wrong, requests get the same plain answer; the log has the reason. But where the settings do not fit
 * the machine, the log may be out of the publisher's sight, and the reason is numbers only.
 */
function toLoadFailure(cause: unknown): never {
  if (cause instanceof CodedError && cause.code === "config_invalid") {
    throw new CodedError("model_load_failed", `the model could not be loaded: ${cause.message}`, { cause });
  }
  throw new CodedError("model_load_failed", "the model could not be loaded", { cause });
}
