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
  /** Published by somebody whose programs this node does not run. */
  readonly isForeign: boolean;
}

const STATES: Record<ProgramState, string> = {
  cold: "starts with its first request",
  starting: "starting",
  running: "running",
};

// The colours and letters of the programs' own page, src/page/style.css. One click selects what is meant to be copied,
// so this one needs no script.
const STYLE = `
  :root {
    color-scheme: light dark; font: 100%/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
    --paper: light-dark(#fbfaf7, #161514); --raised: light-dark(#f1efe9, #211f1d); --ink: light-dark(#1d1b18, #ece8e0);
    --soft: light-dark(#625d54, #a8a196); --line: light-dark(#dcd8ce, #37332f); --accent: light-dark(#0b6357, #7fd0bf);
    --serif: "Iowan Old Style", "Palatino Linotype", Palatino, "URW Palladio L", "Noto Serif", Georgia, serif;
    background: var(--paper); color: var(--ink);
  }
  body { max-width: 48rem; margin: 3rem auto; padding: 0 1rem; }
  h1, h2 { font-family: var(--serif); font-weight: 600; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
  h1 { font-size: clamp(1.75rem, 6vw, 2.75rem); } h2 { font-size: 1.25rem; }
  p { margin: 0; } a { color: var(--accent); text-underline-offset: 0.15em; }
  header p, dt, footer, .state, summary { color: var(--soft); font-size: 0.875rem; }
  header p { margin-top: 0.5rem; }
  section { margin: 1.5rem 0 0; padding: 1.25rem 0 0; border-top: 1px solid var(--line); }
  .head { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0.25rem 1rem; align-items: baseline; }
  dl { margin: 0.5rem 0; } dd { margin: 0; }
  code, pre { font: 0.8125rem/1.5 ui-monospace, "DejaVu Sans Mono", monospace; background: var(--raised); border-radius: 0.5rem; }
  code { padding: 0.125rem 0.375rem; overflow-wrap: anywhere; }
  pre { padding: 0.75rem 1rem; margin: 0.5rem 0 0; white-space: pre-wrap; overflow-wrap: anywhere; }
  dd code, pre { user-select: all; cursor: copy; }
  summary { cursor: pointer; width: fit-content; }
  :focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
  .state::before { content: "○ "; } .running::before, .starting::before { content: "● "; }
  .running::before { color: var(--accent); } .starting::before { color: light-dark(#9a5b00, #f0b48a); }
  .foreign::before { content: "⚠ "; }
  footer { margin-top: 2rem; }
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
  <main>
  ${programs.length === 0 ? "<p>None has been published to this node yet.</p>" : programs.toReversed().map(section).join("")}
  </main>
  <footer>For programs, this address answers the same in JSON.</footer>
</body>
</html>
`;
}

function section(program: ProgramStatus): string {
  return program.isForeign ? foreignSection(program) : ownSection(program);
}

function ownSection({ name, url, itemHash, state }: ProgramStatus): string {
  const baseUrl = `${url}/v1`;
  const curl = `curl ${baseUrl}/chat/completions \\
  -H 'content-type: application/json' \\
  -d '{"messages": [{"role": "user", "content": "Say this is a test"}]}'`;
  const python = `client = openai.OpenAI(base_url="${baseUrl}/", api_key="any")`;
  return `
  <section>
    <div class="head">
      <h2><a href="/vm/${itemHash}/">${escapeHtml(name)}</a></h2>
      <span class="state ${state}">${STATES[state]}</span>
    </div>
    <dl>
      <dt>Base URL</dt>
      <dd><code>${escapeHtml(baseUrl)}</code></dd>
    </dl>
    <details>
      <summary>How to call it</summary>
      <pre>${escapeHtml(curl)}</pre>
      <pre>${escapeHtml(python)}</pre>
    </details>
  </section>`;
}

/** No link: it would only lead to a refusal. */
function foreignSection({ name, itemHash }: ProgramStatus): string {
  return `
  <section>
    <div class="head">
      <h2>${escapeHtml(name)}</h2>
      <span class="state foreign">a stranger's: not run by this node</span>
    </div>
    <dl>
      <dt>Item hash</dt>
      <dd><code>${itemHash}</code></dd>
    </dl>
  </section>`;
}

function escapeHtml(text: string): string {
  const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}
