import type { Response, RequestHandler } from "express";

import type { Engine, Generation } from "../domain/engine.ts";
import { CodedError } from "../domain/errors.ts";
import type { GenerationStep } from "../domain/generation.ts";
import { describeError, type Log } from "../log.ts";
import { toErrorEvent } from "../openai/chunks.ts";
import { toErrorAnswer } from "../openai/error-envelope.ts";
import type { RequestSettings } from "../openai/request.ts";
import type { Answer, AnswerHead } from "../openai/response.ts";
import { abortWhenClientLeaves } from "./client.ts";
import { elapsedMs, exchangeOf, newId } from "./exchange.ts";
import { waitUntilReady } from "./readiness.ts";
import { reportIgnored, requireModel } from "./request-checks.ts";
import { EventWriter } from "./sse.ts";

export interface GenerationOptions {
  readonly engine: Engine;
  readonly log: Log;
  readonly anyModel: boolean;
  readonly loadWaitMs: number;
}

/** What tells one generating route from the others. */
export interface GenerationRoute<Request extends RequestSettings, Started extends Generation> {
  readonly idPrefix: string;
  /** Throws the refusal of a bad body. */
  parse(body: unknown): Request;
  start(engine: Engine, request: Request, signal: AbortSignal): Promise<Started>;
  /** How the answer is written. */
  form(engine: Engine, request: Request, head: AnswerHead, started: Started): AnswerForm;
}

export interface AnswerForm {
  whole(steps: AsyncIterable<GenerationStep>): Promise<Answer>;
  /** Returns what turns steps into the text of events. */
  encoder(): (step: GenerationStep) => string;
  /** The last event of a stream that succeeded. */
  readonly lastEvent: string;
}

const SLOW_CLIENT = { maxWaiting: 4 * 1024 * 1024, stallMs: 120_000 };

/** The handler of a generating route. A refusal thrown here is answered by middleware/errors.ts. */
export function generation<Request extends RequestSettings, Started extends Generation>(
  { engine, log, anyModel, loadWaitMs }: GenerationOptions,
  route: GenerationRoute<Request, Started>,
): RequestHandler {
  return async (req, res) => {
    const created = Math.floor(Date.now() / 1000);
    const client = abortWhenClientLeaves(res);
    const request = route.parse(req.body);
    await waitUntilReady(engine, loadWaitMs, client);
    requireModel(engine, request.model, anyModel);
    reportIgnored(res, request.ignored);
    const { id, fingerprint } = engine.model;
    const head: AnswerHead = { id: newId(route.idPrefix), created, model: id, fingerprint };
    const started = await route.start(engine, request, client);
    const form = route.form(engine, request, head, started);
    if (request.stream) await sendStream(res, form, started.steps, { client, log, pingMs: request.pingMs });
    else await sendWhole(res, form, started.steps);
  };
}

async function sendWhole(res: Response, form: AnswerForm, steps: AsyncIterable<GenerationStep>): Promise<void> {
  const exchange = exchangeOf(res);
  const { body, usage, timings } = await form.whole(steps);
  Object.assign(exchange, { usage, timings });
  if (res.destroyed) return;
  res.set("openai-processing-ms", String(elapsedMs(exchange))).json(body);
}

interface StreamOptions {
  readonly client: AbortSignal;
  readonly log: Log;
  readonly pingMs: number | undefined;
}

async function sendStream(
  res: Response,
  form: AnswerForm,
  steps: AsyncIterable<GenerationStep>,
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
        events = new EventWriter(res, { ...SLOW_CLIENT, pingMs });
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
    events.end(toErrorEvent(body));
  }
}
