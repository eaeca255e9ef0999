import { setMaxListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import type { RequestHandler, Response } from "express";

import { toPrompt } from "../../chat/prompt.ts";
import { startChat } from "../../chat/start-chat.ts";
import type { ChatGeneration, ChatTask } from "../../domain/chat.ts";
import type { Engine } from "../../domain/engine.ts";
import { CodedError } from "../../domain/errors.ts";
import { describeError } from "../../log.ts";
import { toErrorAnswer } from "../../openai/error-envelope.ts";
import { toItems, toListed, type InputItem } from "../../openai/responses/items.ts";
import { ResponseRecorder, toServerSentEvent, type NumberedEvent } from "../../openai/responses/recorder.ts";
import { parseResponseRequest, withoutOldest, type ResponseRequest } from "../../openai/responses/request.ts";
import { abortWhenClientLeaves } from "../client.ts";
import { elapsedMs, exchangeOf, newId, type Exchange } from "../exchange.ts";
import type { Lifecycle } from "../lifecycle.ts";
import type { ServerMetrics } from "../metrics/server-metrics.ts";
import { SLOW_CLIENT, type GenerationOptions } from "../generation.ts";
import { queryOf } from "../query.ts";
import { waitUntilReady } from "../readiness.ts";
import { reportIgnored, requireModel } from "../request-checks.ts";
import { StoredResponse, type ResponseStore } from "../responses/store.ts";
import { EventWriter } from "../sse.ts";

interface ResponsesOptions extends GenerationOptions {
  readonly responses: ResponseStore;
  readonly metrics: ServerMetrics;
  readonly lifecycle: Lifecycle;
}

const DEFAULT_PING_MS = 15_000;
const LONGEST_WAIT_S = 25;
const MOST_LISTED = 100;
const MOST_EVENTS = 10_000;
/** Characters of events that are handed to a client's connection at once. */
const PIECE = 256 * 1024;

/** POST /v1/responses: whole, as a stream, or in the background. */
export function createResponse(options: ResponsesOptions): RequestHandler {
  const { engine, log, anyModel, loadWaitMs, responses, metrics, defaults } = options;
  return async (req, res) => {
    const createdAt = nowSeconds();
    const client = abortWhenClientLeaves(res);
    const request = parseResponseRequest(req.body, defaults);
    await waitUntilReady(engine, loadWaitMs, client);
    requireModel(engine, request.model, anyModel);
    const earlier = conversationBefore(responses, request.previousId);
    reportIgnored(res, request.ignored);

    const run = new AbortController();
    setMaxListeners(0, run.signal);
    // What runs in the background outlives its client.
    if (!request.background) client.addEventListener("abort", () => run.abort(), { once: true });
    if (client.aborted) run.abort();
    const task = request.toTask(earlier);
    const waits = engine.status().slots.every(({ busy }) => busy);
    const { steps } = await startFitting(engine, task, request.truncates, run.signal);

    const recorder = new ResponseRecorder(
      {
        id: newId("resp_"),
        model: engine.model.id,
        createdAt,
        echo: request.echo,
        wantsLogprobs: request.wantsLogprobs,
        newId,
        now: nowSeconds,
      },
      waits,
    );
    const stored = toStored(request, recorder, earlier, () => run.abort());
    if (request.store) responses.add(stored);
    const exchange = exchangeOf(res);
    const running = record(stored, steps, exchange, (error) => {
      log("fault", { request: exchange.id, reason: describeError(error) });
    });
    // The request's own answer may be over long before.
    void running.then(() => metrics.countGeneration(exchange));
    if (request.stream) {
      exchange.streamed = true;
      await sendEvents(res, stored, { after: -1, client, pingMs: request.pingMs });
    } else if (request.background) res.json(recorder.snapshot());
    else await sendWhole(res, stored, running, responses);
    if (!request.background) await running;
  };
}

/** POST /v1/responses/input_tokens: what the same request's usage would count. */
export function responseInputTokens({ engine, anyModel, responses, defaults }: ResponsesOptions): RequestHandler {
  return async (req, res) => {
    const request = parseResponseRequest(req.body, defaults);
    requireModel(engine, request.model, anyModel);
    const task = request.toTask(conversationBefore(responses, request.previousId));
    const count = await countFitting(engine, task, request.truncates);
    reportIgnored(res, request.ignored);
    res.json({ object: "response.input_tokens", input_tokens: count });
  };
}

/** GET /v1/responses/{id}, as an object or, with `?stream=true&starting_after=N`, as the events after N. */
export function getResponse({ responses }: ResponsesOptions): RequestHandler<{ id: string }> {
  return async (req, res) => {
    const stored = find(responses, req.params.id);
    const query = queryOf(req.url);
    if (query.get("stream") !== "true") {
      res.json(stored.recorder.snapshot());
      return;
    }
    if (!stored.background) {
      throw invalid("stream", "only responses that were created with 'background': true can be streamed again");
    }
    const after = integerOf(query, "starting_after", { least: -1, otherwise: -1 });
    await sendEvents(res, stored, { after, client: abortWhenClientLeaves(res), pingMs: DEFAULT_PING_MS });
  };
}

/** GET /v1/responses/{id}/events: the same events as JSON, for hosts that hold streams back. */
export function responseEvents({ responses, lifecycle }: ResponsesOptions): RequestHandler<{ id: string }> {
  return async (req, res) => {
    const stored = find(responses, req.params.id);
    const query = queryOf(req.url);
    const after = integerOf(query, "starting_after", { least: -1, otherwise: -1 });
    const limit = integerOf(query, "limit", { least: 1, most: MOST_EVENTS, otherwise: MOST_EVENTS });
    const waitS = numberOf(query, "wait", { most: LONGEST_WAIT_S, otherwise: 0 });
    const over = AbortSignal.any([
      abortWhenClientLeaves(res),
      AbortSignal.timeout(waitS * 1000),
      // A server that shuts down has no time for those that wait.
      lifecycle.draining,
    ]);
    const isNews = () => stored.ended || stored.events.length > after + 1 || over.aborted;
    while (!isNews()) await stored.changed(over);
    const events = stored.events.slice(after + 1, after + 1 + limit);
    const last = events.at(-1)?.sequenceNumber ?? Math.min(after, stored.events.length - 1);
    const { status } = stored.recorder;
    const done = stored.ended && last >= stored.events.length - 1;
    const rest = JSON.stringify({ last_sequence_number: last, status, done }).slice(1);
    // The events are JSON already.
    res.type("json").send(`{"object":"list","data":[${events.map(({ json }) => json).join(",")}],${rest}`);
  };
}

/** POST /v1/responses/{id}/cancel */
export function cancelResponse({ responses }: ResponsesOptions): RequestHandler<{ id: string }> {
  return (req, res) => {
    const stored = find(responses, req.params.id);
    if (!stored.background) {
      throw invalid("response_id", "only responses that were created with 'background': true can be cancelled");
    }
    stored.cancel();
    res.json(stored.recorder.snapshot());
  };
}

/** DELETE /v1/responses/{id}: one that runs is cancelled first. */
export function deleteResponse({ responses }: ResponsesOptions): RequestHandler<{ id: string }> {
  return (req, res) => {
    const stored = find(responses, req.params.id);
    stored.cancel();
    responses.delete(stored.id);
    res.json({ id: stored.id, object: "response", deleted: true });
  };
}

/** GET /v1/responses/{id}/input_items?limit&order&after */
export function responseInputItems({ responses }: ResponsesOptions): RequestHandler<{ id: string }> {
  return (req, res) => {
    const stored = find(responses, req.params.id);
    const query = queryOf(req.url);
    const limit = integerOf(query, "limit", { least: 1, most: MOST_LISTED, otherwise: 20 });
    const order = query.get("order") ?? "desc";
    if (order !== "asc" && order !== "desc") throw invalid("order", 'expected "asc" or "desc"');
    const items = order === "asc" ? stored.listed : stored.listed.toReversed();
    const after = query.get("after");
    const start = after === null ? 0 : items.findIndex(({ id }) => id === after) + 1;
    if (after !== null && start === 0) throw invalid("after", "expected the id of one of the items");
    const data = items.slice(start, start + limit);
    res.json({
      object: "list",
      data,
      first_id: data[0]?.["id"] ?? null,
      last_id: data.at(-1)?.["id"] ?? null,
      has_more: start + limit < items.length,
    });
  };
}

/** Where the oldest items may go, they do until the rest fits. Errors: as `startChat`. */
async function startFitting(
  engine: Engine,
  task: ChatTask,
  truncates: boolean,
  signal: AbortSignal,
): Promise<ChatGeneration> {
  try {
    return await startChat(engine, task, signal);
  } catch (error) {
    const isTooLong = error instanceof CodedError && error.code === "context_length_exceeded";
    if (!isTooLong) throw error;
    const shorter = truncates ? withoutOldest(task.messages) : undefined;
    if (shorter !== undefined) return await startFitting(engine, { ...task, messages: shorter }, truncates, signal);
    throw new CodedError("context_length_exceeded", error.message, { param: "input", details: error.details });
  }
}

/** What `startFitting` would evaluate. */
async function countFitting(engine: Engine, task: ChatTask, truncates: boolean): Promise<number> {
  const count = await engine.count(toPrompt(engine, task).prompt);
  const isTooLong = count >= engine.model.contextLength;
  const shorter = truncates && isTooLong ? withoutOldest(task.messages) : undefined;
  return shorter === undefined ? count : await countFitting(engine, { ...task, messages: shorter }, truncates);
}

function toStored(
  request: ResponseRequest,
  recorder: ResponseRecorder,
  earlier: readonly InputItem[],
  stop: () => void,
): StoredResponse {
  const { id } = recorder.snapshot() as { id: string };
  return new StoredResponse({
    id,
    recorder,
    background: request.background,
    conversation: request.store ? [...earlier, ...request.items] : [],
    listed: request.store ? request.items.map((item) => toListed(item, newId)) : [],
    stop,
  });
}

/** Reads the steps to their end, whoever listens. Never rejects; resolves with what went wrong. */
async function record(
  stored: StoredResponse,
  steps: ChatGeneration["steps"],
  exchange: Exchange,
  onFault: (error: unknown) => void,
): Promise<unknown> {
  const { recorder } = stored;
  stored.add(recorder.begin());
  try {
    for await (const step of steps) {
      exchange.firstStepAt ??= performance.now();
      if (step.type === "done") Object.assign(exchange, { usage: step.usage, timings: step.timings });
      stored.add(recorder.step(step));
    }
    return undefined;
  } catch (error) {
    const { status, body } = toErrorAnswer(error);
    if (status === 500) onFault(error);
    stored.add(recorder.fail(body.error.code ?? body.error.type, body.error.message));
    return error;
  } finally {
    stored.end();
  }
}

async function sendWhole(
  res: Response,
  stored: StoredResponse,
  running: Promise<unknown>,
  responses: ResponseStore,
): Promise<void> {
  const error = await running;
  if (error !== undefined) {
    responses.delete(stored.id);
    throw error;
  }
  if (res.destroyed) return;
  res.set("openai-processing-ms", String(elapsedMs(exchangeOf(res)))).json(stored.recorder.snapshot());
}

interface SendOptions {
  /** Number of the last event that the client has; -1 is none. */
  readonly after: number;
  readonly client: AbortSignal;
  readonly pingMs: number | undefined;
}

/** Sends the events that are there and those that follow, to the end. */
async function sendEvents(
  res: Response,
  stored: StoredResponse,
  { after, client, pingMs }: SendOptions,
): Promise<void> {
  const writer = new EventWriter(res, { ...SLOW_CLIENT, pingMs });
  let next = after + 1;
  for (;;) {
    const events = nextPiece(stored.events, next);
    next += events.length;
    if (events.length > 0) writer.send(events.map(toServerSentEvent).join(""));
    // The store keeps the rest for a client that reads slowly.
    await writer.idle();
    if (client.aborted) return;
    if (next < stored.events.length) continue;
    if (stored.ended) break;
    await stored.changed(client);
    // What comes within one turn of the event loop is sent at once.
    if (!stored.ended) await sleep(0);
  }
  writer.end("");
}

/** The events from a place on, as far as they are handed over at once; at least one where there are any. */
function nextPiece(events: readonly NumberedEvent[], from: number): readonly NumberedEvent[] {
  let characters = 0;
  let end = from;
  while (end < events.length && characters < PIECE) characters += events[end++]!.json.length;
  return events.slice(from, end);
}

/** Errors: `not_found`; `invalid_value` for a response that is not over. */
function conversationBefore(responses: ResponseStore, id: string | undefined): readonly InputItem[] {
  if (id === undefined) return [];
  const previous = find(responses, id, "previous_response_id");
  if (!previous.ended) {
    const expected = `a response that has ended; '${id}' is ${previous.recorder.status}: read it until it has, or cancel it`;
    throw invalid("previous_response_id", `expected ${expected}`);
  }
  const { output } = previous.recorder.snapshot() as { output: InputItem[] };
  return [...previous.conversation, ...toItems(output)];
}

/** Errors: `not_found`. */
function find(responses: ResponseStore, id: string, param = "response_id"): StoredResponse {
  const stored = responses.get(id);
  if (stored !== undefined) return stored;
  throw new CodedError(
    "not_found",
    `There is no response '${id.slice(0, 100)}' here: it was deleted, not stored, or is too old.`,
    { param },
  );
}

function integerOf(
  query: URLSearchParams,
  name: string,
  { least, most = Number.MAX_SAFE_INTEGER, otherwise }: { least: number; most?: number; otherwise: number },
): number {
  const text = query.get(name);
  if (text === null || text === "") return otherwise;
  const value = Number(text);
  if (/^-?\d{1,16}$/.test(text) && value >= least && value <= most) return value;
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `between ${least} and ${most}`;
  throw invalid(name, `expected an integer ${range}, got "${text.slice(0, 100)}"`);
}

function numberOf(query: URLSearchParams, name: string, { most, otherwise }: { most: number; otherwise: number }) {
  const text = query.get(name);
  if (text === null || text === "") return otherwise;
  const value = Number(text);
  if (/^\d{1,4}(\.\d{1,6})?$/.test(text) && value <= most) return value;
  throw invalid(name, `expected a number between 0 and ${most}, got "${text.slice(0, 100)}"`);
}

function invalid(param: string, fault: string): CodedError {
  return new CodedError("invalid_value", `Invalid value for '${param}': ${fault}.`, { param });
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
