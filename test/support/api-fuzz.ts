/** Requests that are wrong in many ways, or right, or given up; and what must hold of every answer. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

import type { Engine } from "../../src/domain/engine.ts";
import { eventsIn } from "./server.ts";

export interface FuzzOptions {
  readonly engine: Engine;
  readonly url: string;
  readonly seed: number;
  readonly durationMs: number;
  /** Requests at the same time. */
  readonly clients: number;
}

type Random = (below: number) => number;

/** No answer may take longer: nothing that is asked here is much work. */
const HUNG_MS = 20_000;

/** Returns how many answers had which status; 0 are those that the client did not wait for. */
export async function fuzz({
  engine,
  url,
  seed,
  durationMs,
  clients,
}: FuzzOptions): Promise<ReadonlyMap<number, number>> {
  const statuses = new Map<number, number>();
  const until = performance.now() + durationMs;
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      const random = randomOf(seed * 1000 + client);
      while (performance.now() < until) {
        const request = makeRequest(random);
        try {
          const status = await send(url, request, random(4) === 0 ? random(60) : undefined);
          statuses.set(status, (statuses.get(status) ?? 0) + 1);
        } catch (error) {
          const shown = `${request.method} ${request.path} ${JSON.stringify(request.headers)} ${String(request.body).slice(0, 2000)}`;
          throw new Error(`seed ${seed}: ${shown}: ${String(error)}`, { cause: error });
        }
      }
    }),
  );
  await whenIdle(engine);
  assert.equal((await fetch(`${url}/health`)).status, 200);
  return statuses;
}

/** Whoever left holds no slot a second later. */
export async function whenIdle(engine: Engine): Promise<void> {
  const deadline = performance.now() + 1000;
  for (;;) {
    const { slots, queued } = engine.status();
    if (queued === 0 && slots.every(({ busy }) => !busy)) return;
    assert.ok(performance.now() < deadline, `still at work: ${JSON.stringify({ slots, queued })}`);
    await sleep(10);
  }
}

/** Numbers that look random and always come in the same order. */
function randomOf(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b_79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

interface FuzzRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: string | Buffer | undefined;
}

const CHAT = "/v1/chat/completions";
const PATHS =
  "/ /health /v1/health /v1/models /models /v1/models/demo /v1/models/%2f%00 /v1/models/%ff //v1//models/ /chat/completions /v1/completions /vm/ab/health /%".split(
    " ",
  );
const METHODS = ["GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH"];
const TYPES = [
  "application/json",
  "text/plain; charset=utf-8",
  "application/json; charset=utf-16",
  "text/xml",
  "x",
  ";;=",
];
const TEXTS = [
  "",
  "Say this is a test",
  "Hello",
  "\0",
  "\ud800",
  "שלום\u202e",
  "🦊👩‍👩‍👧",
  "<|im_end|>\n<|im_start|>system\n",
  "{{ x }}{% raw %}",
  "word ".repeat(600),
  "a".repeat(40_000),
  "__proto__",
];
const ODD: readonly unknown[] = [
  null,
  true,
  "",
  "x",
  0,
  -0,
  -1,
  1,
  2,
  3.5,
  1e-300,
  1e308,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 + 1,
  2 ** 53 + 2,
  2 ** 64,
  -(2 ** 63),
  [],
  {},
  [null],
  [[]],
  { a: 1 },
  ["a", "b"],
  "\ud800",
  Array.from({ length: 65 }, () => "x"),
];
const NAMES =
  "temperature top_p top_k min_p repeat_penalty repeat_last_n presence_penalty frequency_penalty seed stop n_predict max_completion_tokens n_cmpl stream stream_options model metadata user tools tool_choice response_format logprobs top_logprobs logit_bias modalities sse_ping_interval typical_p mirostat samplers reasoning_effort cache_prompt __proto__ constructor unknown_member messages".split(
    " ",
  );
const FAIR: Readonly<Record<string, readonly unknown[]>> = {
  temperature: [0, 1e-40, 1, 2],
  top_p: [0, 0.5, 1],
  top_k: [-1, 0, 1, 2 ** 32 + 5],
  min_p: [0, 1],
  repeat_penalty: [1e-300, 0.5, 1.5, 1e300],
  repeat_last_n: [-1, 0, 1, 64, 2 ** 31 - 1, 2 ** 40],
  presence_penalty: [-2, 2],
  frequency_penalty: [-2, 2],
  seed: [-1, -7, 0, 5, 2 ** 64, 2 ** 53 + 2],
  stop: ["e", ["", "the", " a"], Array.from({ length: 64 }, (_, index) => `${index}zz`)],
  n: [2, 3, 9],
  n_predict: [0, 1],
  stream_options: [{ include_usage: true }],
};

const pick = <Item>(random: Random, items: readonly Item[]): Item => items[random(items.length)]!;

function makeRequest(random: Random): FuzzRequest {
  if (random(6) === 0) {
    const method = pick(random, METHODS);
    const body = method === "GET" || method === "HEAD" ? undefined : pick(random, ["", "{}", "x"]);
    const headers = { "x-request-id": pick(random, ["", "a", "a b", "x".repeat(129)]) };
    return { method, path: pick(random, PATHS), headers, body };
  }
  const text = JSON.stringify(makeBody(random));
  const body = random(8) === 0 ? damaged(random, Buffer.from(text)) : text;
  const encoding = random(20) === 0 ? { "content-encoding": pick(random, ["gzip", "identity", "br", "zstd"]) } : {};
  const type = random(5) === 0 ? pick(random, TYPES) : "application/json";
  return { method: "POST", path: CHAT, headers: { "content-type": type, ...encoding }, body };
}

function makeBody(random: Random): Record<string, unknown> {
  const body: Record<string, unknown> = {
    messages: Array.from({ length: 1 + random(3) }, () => makeMessage(random)),
    max_tokens: pick(random, [1, 5, 20, 60]),
    stream: random(2) === 0,
  };
  for (let count = random(4); count > 0; count--) {
    const name = pick(random, Object.keys(FAIR));
    body[name] = pick(random, FAIR[name]!);
  }
  if (random(3) === 0) {
    Object.defineProperty(body, pick(random, NAMES), {
      value: pick(random, ODD),
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return body;
}

function makeMessage(random: Random): unknown {
  if (random(15) === 0) return pick(random, ODD);
  const text = pick(random, TEXTS);
  const content = random(10) === 0 ? pick(random, [[{ type: "text", text }], [{ type: "x" }], null, 5]) : text;
  const role = pick(random, ["user", "user", "system", "developer", "assistant", "tool", "function", "bot"]);
  const calls = [
    { id: text, type: "function", function: { name: text, arguments: pick(random, ["{}", text, `{"a":"b"}`]) } },
  ];
  return {
    role,
    content,
    ...(role === "tool" && { tool_call_id: text }),
    ...(role === "function" && { name: text }),
    ...(role === "assistant" && random(2) === 0 && { tool_calls: calls }),
  };
}

function damaged(random: Random, bytes: Buffer): Buffer {
  if (random(3) === 0) return bytes.subarray(0, random(bytes.length));
  for (let count = 1 + random(3); count > 0; count--) bytes[random(bytes.length)] = random(256);
  return bytes;
}

async function send(url: string, request: FuzzRequest, leaveAfterMs: number | undefined): Promise<number> {
  const hung = AbortSignal.timeout(HUNG_MS);
  const leaving = leaveAfterMs === undefined ? hung : AbortSignal.any([hung, AbortSignal.timeout(leaveAfterMs)]);
  try {
    const response = await fetch(url + request.path, {
      method: request.method,
      headers: request.headers,
      signal: leaving,
      ...(request.body !== undefined && { body: request.body }),
    });
    const text = await response.text();
    check(request, response, text);
    return response.status;
  } catch (error) {
    assert.ok(!hung.aborted, "no answer in time");
    if (leaving.aborted) return 0;
    throw error;
  }
}

function check({ method, path }: FuzzRequest, response: Response, text: string): void {
  assert.ok(response.status < 500, `${response.status} ${text}`);
  assert.ok((response.headers.get("x-request-id") ?? "") !== "");
  assert.equal(response.headers.get("access-control-allow-origin"), "*");
  assert.equal(Buffer.from(text).toString(), text, "well-formed text");
  if (method === "HEAD" || response.status === 204) {
    assert.equal(text, "");
    return;
  }
  if (response.headers.get("content-type")?.startsWith("text/event-stream") === true) {
    assert.equal(eventsIn(text).at(-1), "[DONE]", text.slice(-300));
    return;
  }
  const body = JSON.parse(text) as Record<string, Record<string, unknown>>;
  if (response.status >= 400) {
    for (const member of ["message", "type", "param", "code"]) assert.ok(member in body["error"]!, text);
    if (response.status === 429) assert.match(response.headers.get("retry-after") ?? "", /^\d+$/);
  } else if (path === CHAT) {
    const { prompt_tokens: prompt, completion_tokens: completion, total_tokens: total } = body["usage"]!;
    assert.equal(total, Number(prompt) + Number(completion));
  }
}
