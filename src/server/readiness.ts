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
    await Promise.race([loaded(engine), givenUp]);
  } finally {
    clearTimeout(timer);
    if (leave) signal.removeEventListener("abort", leave);
  }
}

async function loaded(engine: Engine): Promise<void> {
  try {
    await engine.ready;
  } catch (cause) {
    throw toLoadFailure(cause);
  }
}

/** With the reason as its cause: the log has it whole, clients get what concerns them. */
export function toLoadFailure(cause: unknown): CodedError {
  return new CodedError("model_load_failed", "the model could not be loaded", { cause });
}
