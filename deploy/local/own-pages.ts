/** What the supervisor serves itself: the list of programs and the diagnostics that tools ask for. */
import type { IncomingMessage, ServerResponse } from "node:http";

import type { ItemHash } from "../../src/domain/hash.ts";
import { indexPage, type ProgramStatus } from "./index-page.ts";
import { SERVER_HEADERS, SUPERVISOR_VERSION } from "./network-rules.ts";

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
  const list = programs.map(({ itemHash, name, url, hostUrl, state, isForeign }) => ({
    item_hash: itemHash,
    name,
    status: state,
    ...(isForeign ? { foreign: true } : {}),
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
