import type { ServerState } from "./use-server.ts";

/** One short line, of the same height whatever it says, so that nothing below it moves. */
export function StatusLine({ state }: { state: ServerState }) {
  return (
    <div class="status" role="status">
      {state.kind === "asking" && <span>Looking…</span>}
      {state.kind === "loading" && <span>{loadingText(state)}</span>}
      {state.kind === "failed" && <span class="error">Not working</span>}
      {state.kind === "ready" && state.about.model !== null && (
        <span>
          <span class="dot" aria-hidden="true" /> Ready
          <span class="long">
            {" "}
            · {state.about.model.quantization} · {state.about.model.context_length.toLocaleString("en")} tokens of
            context
          </span>
        </span>
      )}
    </div>
  );
}

function loadingText({ progress }: Extract<ServerState, { kind: "loading" }>): string {
  return progress === undefined ? "Starting…" : `Loading ${percent(progress)}`;
}

export function percent(progress: number): string {
  return `${Math.floor(progress * 100)} %`;
}
