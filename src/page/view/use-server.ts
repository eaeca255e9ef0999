import { useEffect, useState } from "preact/hooks";

import { askJson, RequestError, type About } from "../api.ts";

export type ServerState =
  | { readonly kind: "asking" }
  /** `progress` is from 0 to 1, where it is known. */
  | { readonly kind: "loading"; readonly progress: number | undefined; readonly words: string }
  | { readonly kind: "ready"; readonly about: About }
  | { readonly kind: "failed"; readonly words: string };

const LOADING_MS = 700;
const AWAY_MS = 3000;

/** Asks until the model is loaded; `again` starts over, as after a restart. */
export function useServer(again: number): ServerState {
  const [state, setState] = useState<ServerState>({ kind: "asking" });
  useEffect(() => {
    let isOver = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    async function poll(): Promise<void> {
      const { next, afterMs } = await look();
      if (isOver) return;
      setState(next);
      if (afterMs !== undefined) timer = setTimeout(() => void poll(), afterMs);
    }
    void poll();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [again]);
  return state;
}

async function look(): Promise<{ next: ServerState; afterMs?: number }> {
  try {
    const about = await askJson<About>("about.json");
    if (about.status === "ready") return { next: { kind: "ready", about } };
    if (about.status === "failed") {
      const words = "The model could not be loaded, so nothing can be answered. The server's log has the reason.";
      return { next: { kind: "failed", words } };
    }
    const next = { kind: "loading", progress: about.progress, words: "Loading the model" } as const;
    return { next, afterMs: LOADING_MS };
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    const { progress, message } = error;
    // What comes while a machine starts: refusals of the guest before the server runs, and of the host before the guest.
    if (error.isPassing)
      return { next: { kind: "loading", progress, words: waiting(error, message) }, afterMs: AWAY_MS };
    return { next: { kind: "failed", words: message } };
  }
}

function waiting({ status, code }: RequestError, message: string): string {
  return status === 503 && code === "model_loading" ? message.replace(/\.$/, "") : `Waiting for the server. ${message}`;
}
