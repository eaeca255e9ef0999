/** Requests that are wrong in many ways, or right, or given up; and what must hold of every answer. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

import type { Engine } from "../../src/domain/engine.ts";
import { makeRequest, type FuzzRequest } from "./fuzz-requests.ts";
import { randomOf } from "./fuzz-values.ts";

export interface FuzzOptions {
  readonly engine: Engine;
  readonly url: string;
  readonly seed: number;
  readonly durationMs: number;
  /** Requests at the same time. */
  readonly clients: number;
}

/** What may be spent on all that is asked at one time, runs until the context is full among it. */
const HUNG_CPU_MS = 120_000;
/** Whoever makes no use of a processor at all hangs too. */
const HUNG_MS = 900_000;
/** How often that is looked at. */
const WATCH_MS = 250;
/** Of unlimited answers: the work of one grows with the square of the context. */
export const FUZZ_CONTEXT_LENGTH = 768;
const KEPT_IDS = 20;

/** Returns how many answers had which status; 0 are those that the client did not wait for. */
export async function fuzz({
  engine,
  url,
  seed,
  durationMs,
  clients,
}: FuzzOptions): Promise<ReadonlyMap<number, number>> {
  const statuses = new Map<number, number>();
  const ids: string[] = [];
  const until = performance.now() + durationMs;
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      const random = randomOf(seed * 1000 + client);
      while (performance.now() < until) {
        const request = makeRequest(random, ids);
        try {
          const status = await send(url, request, random(4) === 0 ? random(60) : undefined, ids);
          statuses.set(status, (statuses.get(status) ?? 0) + 1);
        } catch (error) {
          const shown = `${request.method} ${request.path} ${JSON.stringify(request.headers)} ${String(request.body).slice(0, 2000)}`;
          throw new Error(`seed ${seed}: ${shown}: ${causes(error)}`, { cause: error });
        }
      }
    }),
  );
  await whenIdle(engine);
  assert.equal((await fetch(`${url}/health`)).status, 200);
  return statuses;
}

/** `fetch failed` alone says nothing. */
function causes(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = (error as NodeJS.ErrnoException).code;
  const own = code === undefined ? String(error) : `${String(error)} (${code})`;
  return error.cause === undefined ? own : `${own}: ${causes(error.cause)}`;
}

/** Whoever left holds no slot for long. */
export async function whenIdle(engine: Engine): Promise<void> {
  const isHung = patience();
  for (;;) {
    const { slots, queued } = engine.status();
    if (queued === 0 && slots.every(({ busy }) => !busy)) return;
    const busy = slots.flatMap(({ id, busy: isBusy }) => (isBusy ? [id] : []));
    assert.ok(!isHung(), `still at work: slots ${busy.join(", ")}; ${queued} wait`);
    await sleep(10);
  }
}

/**
 * Says when it has been too long. Server and clients are one process, and its own processor time is what counts: other
 * load on the machine is nobody's fault here.
 */
function patience(): () => boolean {
  const began = performance.now();
  const spent = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(spent);
    return (user + system) / 1000 > HUNG_CPU_MS || performance.now() - began > HUNG_MS;
  };
}

async function send(
  url: string,
  request: FuzzRequest,
  leaveAfterMs: number | undefined,
  ids: string[],
): Promise<number> {
  const hung = new AbortController();
  const isHung = patience();
  const watch = setInterval(() => isHung() && hung.abort(), WATCH_MS);
  const leaving =
    leaveAfterMs === undefined ? hung.signal : AbortSignal.any([hung.signal, AbortSignal.timeout(leaveAfterMs)]);
  try {
    const response = await fetch(url + request.path, {
      method: request.method,
      headers: request.headers,
      signal: leaving,
      ...(request.body !== undefined && { body: request.body as string }),
    });
    const text = await response.text();
    check(request, response, text);
    for (const [id] of text.slice(0, 2000).matchAll(/resp_\w+/g)) {
      if (!ids.includes(id)) ids.push(id);
    }
    ids.splice(0, Math.max(0, ids.length - KEPT_IDS));
    return response.status;
  } catch (error) {
    assert.ok(!hung.signal.aborted, "no answer in time");
    if (leaving.aborted) return 0;
    throw error;
  } finally {
    clearInterval(watch);
  }
}

/** Said by name and not by fault: what the model cannot do, and slots that are busy where a free one was asked for. */
const REFUSALS = new Set(["not_supported_error", "unavailable_error"]);

function check({ method, path }: FuzzRequest, response: Response, text: string): void {
  assert.ok((response.headers.get("x-request-id") ?? "") !== "");
  assert.equal(response.headers.get("access-control-allow-origin"), "*");
  assert.equal(Buffer.from(text).toString(), text, "well-formed text");
  if (method === "HEAD" || response.status === 204) {
    assert.equal(text, "");
    // Without a body, what a full server says cannot be told from a fault; those are found in the log.
    assert.ok(response.status < 500 || response.status === 501 || response.status === 503);
    return;
  }
  const type = response.headers.get("content-type") ?? "";
  // Two comments that tell a page whether streams arrive.
  if (path.includes("stream-check")) return;
  if (response.status === 200 && !type.startsWith("application/json")) {
    if (type.startsWith("text/event-stream")) checkStream(path, text);
    return;
  }
  const body = JSON.parse(text) as Record<string, Record<string, unknown>>;
  if (response.status < 400) return;
  const error = body["error"]!;
  const members =
    path.includes("/v1/messages") && !("code" in error) ? ["message", "type"] : ["message", "type", "param", "code"];
  for (const member of members) assert.ok(member in error, text);
  assert.ok(response.status < 500 || REFUSALS.has(String(error["type"])), `${response.status} ${text}`);
  assert.doesNotMatch(
    String(error["message"]),
    /\bundefined\b|Invalid input|\[object |node_modules|\bat .+:\d+:\d+/,
    text,
  );
  if (response.status === 429) assert.match(response.headers.get("retry-after") ?? "", /^\d+$/);
}

/** A stream ends in the way of its API, and never with a fault of this side. */
function checkStream(path: string, text: string): void {
  assert.doesNotMatch(text, /"server_error"|"api_error"/, text.slice(-500));
  const last = text.trimEnd().split("\n\n").at(-1) ?? "";
  const ends = /\/v1\/messages|\/responses/.test(path)
    ? /^event: (?:message_stop|error|response\.\w+)\n/
    : /^data: (?:\[DONE\]|\{.*"stop":true|\{"(?:content|timings)|\{\})/;
  assert.match(last, ends, text.slice(-300));
}
