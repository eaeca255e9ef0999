/** What the supervisor serves itself: the list of programs and the diagnostics that tools ask for. */
import type { IncomingMessage, ServerResponse } from "node:http";

import type { ItemHash } from "../../src/domain/hash.ts";
import { SERVER_HEADERS, SUPERVISOR_VERSION } from "./network-rules.ts";
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

export function sendIndex(
  request: IncomingMessage,
  response: ServerResponse,
  programs: readonly ProgramStatus[],
): void {
  if (prefersHtml(request.headers.accept ?? "")) {
    // Nothing of the page comes from elsewhere, and nothing in it runs.
    const policy = "default-src 'none'; style-src 'unsafe-inline'";
    send(response, 200, "text/html; charset=utf-8", indexPage(programs), [["Content-Security-Policy", policy]]);
    return;
  }
  const list = programs.map(({ itemHash, name, url, hostUrl, state }) => ({
    item_hash: itemHash,
    name,
    status: state,
    url,
    ...(hostUrl === undefined ? {} : { host_url: hostUrl }),
  }));
  sendJson(response, 200, { programs: list });
}

/** True when there is such a page. `query` begins with its question mark. */
export function sendOwnPage(
  response: ServerResponse,
  path: string,
  query: string,
  running: readonly ItemHash[],
): boolean {
  switch (path) {
    case "/about/executions/list":
    case "/v2/about/executions/list":
      sendJson(response, 200, executions(running));
      return true;
    case "/status/config":
      sendJson(response, 200, {
        DOMAIN_NAME: "localhost",
        version: SUPERVISOR_VERSION,
        references: {},
        networking: {},
      });
      return true;
    case "/status/check/version":
      sendVersionCheck(response, new URLSearchParams(query).get("reference"));
      return true;
    default:
      return false;
  }
}

function executions(running: readonly ItemHash[]): Record<string, unknown> {
  const entry = { networking: { ipv4: null, ipv6: null }, vm_type: "microvm", awaiting_confidential_init: false };
  return Object.fromEntries(running.map((itemHash) => [itemHash, entry]));
}

function sendVersionCheck(response: ServerResponse, reference: string | null): void {
  if (reference === null) return send(response, 400, "text/plain", "Query field 'reference' must be specified");
  const upToDate = compareVersions(SUPERVISOR_VERSION, reference) >= 0;
  const text = upToDate
    ? `Up-to-date: version ${SUPERVISOR_VERSION} >= ${reference}`
    : `Outdated: version ${SUPERVISOR_VERSION} < ${reference}`;
  send(response, upToDate ? 200 : 403, "text/plain; charset=utf-8", text);
}

/** By their numbers alone: `1.14.0-local` equals `1.14.0`. */
function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => (/^\d+(?:\.\d+)*/.exec(version)?.[0] ?? "").split(".").map(Number));
  for (let at = 0; at < Math.max(left?.length ?? 0, right?.length ?? 0); at += 1) {
    const difference = (left?.[at] ?? 0) - (right?.[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** A browser names text/html; tools say "anything", which means JSON here. */
function prefersHtml(accept: string): boolean {
  return quality(accept, "text/html") > quality(accept, "application/json");
}

/** The weight of the most specific range that covers `type`. */
function quality(accept: string, type: string): number {
  const ranges = new Map<string, number>();
  for (const item of accept.toLowerCase().split(",")) {
    const [range = "", ...parameters] = item.split(";").map((part) => part.trim());
    const weight = parameters.find((parameter) => parameter.startsWith("q="));
    ranges.set(range, weight === undefined ? 1 : Number(weight.slice(2)) || 0);
  }
  const group = `${type.split("/", 1)[0]}/*`;
  return ranges.get(type) ?? ranges.get(group) ?? ranges.get("*/*") ?? 0;
}

const STYLE = `
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { max-width: 60rem; margin: 3rem auto; padding: 0 1rem; }
  h1 { font-size: 1.4rem; }
  li { list-style: none; margin: 0 0 1.25rem; padding: 1rem; border: 1px solid #8885; border-radius: 0.5rem; }
  ul { padding: 0; }
  h2 { margin: 0 0 0.25rem; font-size: 1.1rem; }
  code { overflow-wrap: anywhere; font-size: 0.85rem; }
  .state { font-size: 0.8rem; font-weight: normal; padding: 0 0.5rem; border-radius: 1rem; background: #8883; }
  .running { background: #2a83; } .starting { background: #fa03; }
`;

function indexPage(programs: readonly ProgramStatus[]): string {
  const items = programs.map(
    ({ name, url, itemHash, state }) => `
    <li>
      <h2>${escapeHtml(name)} <span class="state ${state}">${state}</span></h2>
      <p>Base URL for OpenAI clients:<br><a href="/vm/${itemHash}/"><code>${escapeHtml(url)}/v1</code></a></p>
    </li>`,
  );
  const list =
    items.length === 0 ? "<p>No program has been published to this node yet.</p>" : `<ul>${items.join("")}</ul>`;
  return `<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width">
  <title>Pinference: programs of this node</title>
  <style>${STYLE}</style>
</head>
<body>
  <h1>Programs of this node</h1>
  ${list}
  <p>A cold program starts with its first request.</p>
</body>
</html>
`;
}

function escapeHtml(text: string): string {
  const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  send(response, status, "application/json; charset=utf-8", JSON.stringify(body));
}

function send(
  response: ServerResponse,
  status: number,
  contentType: string,
  body: string,
  headers: readonly (readonly [string, string])[] = [],
): void {
  const bytes = Buffer.from(body);
  const own = [...SERVER_HEADERS, ["Content-Type", contentType], ["Content-Length", String(bytes.length)]];
  response.writeHead(status, [...own, ...headers].flat());
  response.end(bytes);
}
