import type { Response, RequestHandler } from "express";

import type { ChatStep } from "../domain/chat.ts";
import type { Engine } from "../domain/engine.ts";
import { CodedError } from "../domain/errors.ts";
import type { ModelDefaults } from "../domain/model-defaults.ts";
import type { GenerationStep } from "../domain/generation.ts";
import { describeError, type Log } from "../log.ts";
import { toErrorEvent } from "../openai/chunks.ts";
import { toErrorAnswer } from "../openai/error-envelope.ts";
import type { RequestSettings } from "../openai/request.ts";
import type { Answer, AnswerHead } from "../openai/response.ts";
import { abortWhenClientLeaves } from "./client.ts";
import { elapsedMs, exchangeOf, newId } from "./exchange.ts";
import { waitUntilReady } from "./readiness.ts";
import { limitReport } from "./report-limit.ts";
import { reportIgnored, requireModel } from "./request-checks.ts";
import { EventWriter } from "./sse.ts";

export interface GenerationOptions {
  readonly engine: Engine;
  readonly log: Log;
  readonly anyModel: boolean;
  readonly loadWaitMs: number;
  /** What requests get that leave it out. */
  readonly defaults?: ModelDefaults;
}

/** An accepted request, whose answer comes in the steps of a text or of a chat. */
export interface Started {
  readonly steps: AsyncIterable<GenerationStep | ChatStep>;
}

type StepOf<Accepted extends Started> = Accepted extends { readonly steps: AsyncIterable<infer Step> } ? Step : never;

/** What tells one generating route from the others. */
export interface GenerationRoute<Request extends RequestSettings, Accepted extends Started> {
  readonly idPrefix: string;
  /** Throws the refusal of a bad body. */
  parse(body: unknown, defaults: ModelDefaults | undefined): Request;
  start(engine: Engine, request: Request, signal: AbortSignal): Promise<Accepted>;
  /** How the answer is written. */
  form(engine: Engine, request: Request, head: AnswerHead, started: Accepted): AnswerForm<StepOf<Accepted>>;
}

export interface AnswerForm<Step> {
  whole(steps: AsyncIterable<Step>): Promise<Answer>;
  /** Returns what turns steps into the text of events. */
  encoder(): (step: Step) => string;
  /** The last event of a stream that succeeded. */
  readonly lastEvent: string;
  /** The last event of one that failed. Default: OpenAI's. */
  errorEvent?(error: unknown, requestId: string): string;
  /** The sign of life in a silent stream. Default: a comment. */
  readonly ping?: string;
}

/** When a client that reads slowly is given up. */
export const SLOW_CLIENT = { maxWaiting: 4 * 1024 * 1024, stallMs: 120_000 };

/** The handler of a generating route. A refusal thrown here is answered by middleware/errors.ts. */
export function generation<Request extends RequestSettings, Accepted extends Started>(
  { engine, log, anyModel, loadWaitMs, defaults }: GenerationOptions,
  route: GenerationRoute<Request, Accepted>,
): RequestHandler {
  return async (req, res) => {
    const created = Math.floor(Date.now() / 1000);
    const client = abortWhenClientLeaves(res);
    const request = route.parse(req.body, defaults);
    await waitUntilReady(engine, loadWaitMs, client);
    requireModel(engine, request.model, anyModel);
    reportIgnored(res, request.ignored);
    const { id, fingerprint } = engine.model;
    const head: AnswerHead = { id: newId(route.idPrefix), created, model: id, fingerprint };
    const started = await route.start(engine, request, client);
    const form = route.form(engine, request, head, started);
    const steps = started.steps as AsyncIterable<StepOf<Accepted>>;
    if (request.stream) await sendStream(res, form, steps, { client, log, pingMs: request.pingMs });
    else await sendWhole(res, form, steps);
  };
}

async function sendWhole<Step extends GenerationStep | ChatStep>(
  res: Response,
  form: AnswerForm<Step>,
  steps: AsyncIterable<Step>,
): Promise<void> {
  const exchange = exchangeOf(res);
  const { body, usage, timings } = await form.whole(limitReport(steps));
  Object.assign(exchange, { usage, timings });
  if (res.destroyed) return;
  res.set("openai-processing-ms", String(elapsedMs(exchange))).json(body);
}

interface StreamOptions {
  readonly client: AbortSignal;
  readonly log: Log;
  readonly pingMs: number | undefined;
}

async function sendStream<Step extends GenerationStep | ChatStep>(
  res: Response,
  form: AnswerForm<Step>,
  steps: AsyncIterable<Step>,
  { client, log, pingMs }: StreamOptions,
): Promise<void> {
  const exchange = exchangeOf(res);
  exchange.streamed = true;
  const encode = form.encoder();
  let events: EventWriter | undefined;
  try {
    for await (const step of steps) {
      if (client.aborted) return;
      if (events === undefined) {
        // Up to here a refusal still has its own status.
        exchange.firstStepAt = performance.now();
        events = new EventWriter(res, { ...SLOW_CLIENT, pingMs, ...(form.ping !== undefined && { ping: form.ping }) });
      }
      events.send(encode(step));
      if (step.type === "done") Object.assign(exchange, { usage: step.usage, timings: step.timings });
    }
    events?.end(form.lastEvent);
  } catch (error) {
    if (events === undefined) throw error;
    if (error instanceof CodedError && error.code === "client_left") return;
    const { status, body } = toErrorAnswer(error);
    exchange.errorCode = body.error.code ?? body.error.type;
    if (status === 500) log("fault", { request: exchange.id, reason: describeError(error) });
    events.end(form.errorEvent?.(error, exchange.id) ?? toErrorEvent(body));
  }
}
