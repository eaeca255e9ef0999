/** The page that a browser shows for the node itself: which models answer here, and how to call them. */
import type { ItemHash } from "../../src/domain/hash.ts";
import type { ProgramState } from "./program-pool.ts";

export interface ProgramStatus {
  readonly itemHash: ItemHash;
  readonly name: string;
  /** Base URL for OpenAI clients, without a trailing slash. */
  readonly url: string;
  /** The same, with the program in the host name. Undefined for a CID. */
  readonly hostUrl: string | undefined;
  readonly state: ProgramState;
}

const STATES: Record<ProgramState, string> = {
  cold: "starts with its first request",
  starting: "starting",
  running: "running",
};

// One click selects what is meant to be copied, so the page needs no script.
const STYLE = `
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; --line: #8884; --soft: #8881; --quiet: light-dark(#666, #aaa); }
  body { max-width: 52rem; margin: 3rem auto; padding: 0 1rem; }
  h1 { font-size: 1.5rem; margin: 0; }
  h2 { font-size: 1.1rem; margin: 0; display: flex; flex-wrap: wrap; gap: 0.25rem 0.75rem; align-items: baseline; }
  header p, dt, footer { color: var(--quiet); font-size: 0.875rem; margin: 0.25rem 0 0; }
  section { margin: 1.5rem 0; padding: 1rem 1.25rem; border: 1px solid var(--line); border-radius: 0.75rem; }
  dl { margin: 0.75rem 0; } dd { margin: 0; }
  code, pre { font: 0.8125rem/1.5 ui-monospace, monospace; background: var(--soft); border-radius: 0.375rem; }
  code { padding: 0.125rem 0.375rem; overflow-wrap: anywhere; }
  pre { padding: 0.75rem; margin: 0.25rem 0 0; white-space: pre-wrap; overflow-wrap: anywhere; }
  dd code, pre { user-select: all; cursor: copy; }
  summary { cursor: pointer; font-size: 0.875rem; }
  .state { font-size: 0.8125rem; font-weight: normal; color: var(--quiet); }
  .state::before { content: "● "; } .running::before { color: #2a9d4a; } .starting::before { color: #e09f1f; }
`;

/** The latest program comes first. */
export function indexPage(programs: readonly ProgramStatus[]): string {
  return `<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width">
  <title>Pinference: models of this node</title>
  <style>${STYLE}</style>
</head>
<body>
  <header>
    <h1>Models of this node</h1>
    <p>Each has a URL of its own. Any OpenAI client can call it: only the base URL changes.</p>
  </header>
  ${programs.length === 0 ? "<p>None has been published to this node yet.</p>" : programs.toReversed().map(section).join("")}
  <footer>For programs, this address answers the same in JSON.</footer>
</body>
</html>
`;
}

function section({ name, url, itemHash, state }: ProgramStatus): string {
  const baseUrl = `${url}/v1`;
  const curl = `curl ${baseUrl}/chat/completions \\
  -H 'content-type: application/json' \\
  -d '{"messages": [{"role": "user", "content": "Say this is a test"}]}'`;
  const python = `client = openai.OpenAI(base_url="${baseUrl}/", api_key="any")`;
  return `
  <section>
    <h2>${escapeHtml(name)} <span class="state ${state}">${STATES[state]}</span></h2>
    <dl>
      <dt>Base URL</dt>
      <dd><code>${escapeHtml(baseUrl)}</code></dd>
    </dl>
    <details>
      <summary>How to call it</summary>
      <pre>${escapeHtml(curl)}</pre>
      <pre>${escapeHtml(python)}</pre>
      <p><a href="/vm/${itemHash}/">The program's own page</a></p>
    </details>
  </section>`;
}

function escapeHtml(text: string): string {
  const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}
