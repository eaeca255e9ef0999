import type { Response, RequestHandler } from "express";

import type { Engine } from "../../domain/engine.ts";
import { CodedError } from "../../domain/errors.ts";
import type { GenerationStep } from "../../domain/generation.ts";
import { describeError, type Log } from "../../log.ts";
import { createChunkEncoder, DONE_EVENT, toErrorEvent } from "../../openai/chunks.ts";
import { toErrorAnswer } from "../../openai/error-envelope.ts";
import { isNameOf } from "../../openai/models.ts";
import { parseChatRequest, type ChatRequest } from "../../openai/request.ts";
import { toChatCompletion, type AnswerHead } from "../../openai/response.ts";
import { abortWhenClientLeaves } from "../client.ts";
import { elapsedMs, exchangeOf, newId } from "../exchange.ts";
import { waitUntilReady } from "../readiness.ts";
import { EventWriter } from "../sse.ts";
import { unknownModel } from "./models.ts";

export interface ChatCompletionsOptions {
  readonly engine: Engine;
  readonly log: Log;
  readonly anyModel: boolean;
  readonly loadWaitMs: number;
}

/** Longer names help nobody, and a header has to stay short. */
const MAX_REPORTED = { names: 50, characters: 64 };
const SLOW_CLIENT = { maxWaiting: 4 * 1024 * 1024, stallMs: 120_000 };

/** POST /v1/chat/completions. A refusal thrown here is answered by middleware/errors.ts. */
export function chatCompletions({ engine, log, anyModel, loadWaitMs }: ChatCompletionsOptions): RequestHandler {
  return async (req, res) => {
    const created = Math.floor(Date.now() / 1000);
    const client = abortWhenClientLeaves(res);
    const request = parseChatRequest(req.body);
    await waitUntilReady(engine, loadWaitMs, client);
    const { id, fingerprint } = engine.model;
    if (request.model !== undefined && !anyModel && !isNameOf(engine.model, request.model)) {
      throw unknownModel(request.model);
    }
    if (request.ignored.length > 0) res.set("X-Ignored-Params", toHeader(request.ignored));
    const head: AnswerHead = { id: newId("chatcmpl-"), created, model: id, fingerprint };
    const { steps } = await engine.generate(request.generate, client);
    if (request.stream) await sendStream(res, head, request, steps, client, log);
    else await sendWhole(res, head, request, steps);
  };
}

async function sendWhole(
  res: Response,
  head: AnswerHead,
  request: ChatRequest,
  steps: AsyncIterable<GenerationStep>,
): Promise<void> {
  const exchange = exchangeOf(res);
  const { choices, topLogprobs } = request.generate;
  const { body, usage, timings } = await toChatCompletion(
    head,
    { choices, logprobs: topLogprobs !== undefined },
    steps,
  );
  Object.assign(exchange, { usage, timings });
  if (res.destroyed) return;
  res.set("openai-processing-ms", String(elapsedMs(exchange))).json(body);
}

async function sendStream(
  res: Response,
  head: AnswerHead,
  request: ChatRequest,
  steps: AsyncIterable<GenerationStep>,
  client: AbortSignal,
  log: Log,
): Promise<void> {
  const exchange = exchangeOf(res);
  exchange.streamed = true;
  const encode = createChunkEncoder(head, {
    choices: request.generate.choices,
    includeUsage: request.includeUsage,
  });
  let events: EventWriter | undefined;
  try {
    for await (const step of steps) {
      if (client.aborted) return;
      if (events === undefined) {
        // Up to here a refusal still has its own status.
        exchange.firstStepAt = performance.now();
        events = new EventWriter(res, { ...SLOW_CLIENT, pingMs: request.pingMs });
      }
      events.send(encode(step));
      if (step.type === "done") Object.assign(exchange, { usage: step.usage, timings: step.timings });
    }
    events?.end(DONE_EVENT);
  } catch (error) {
    if (events === undefined) throw error;
    if (error instanceof CodedError && error.code === "client_left") return;
    const { status, body } = toErrorAnswer(error);
    exchange.errorCode = body.error.code ?? body.error.type;
    if (status === 500) log("fault", { request: exchange.id, reason: describeError(error) });
    events.end(toErrorEvent(body));
  }
}

/** Names come from the client: only what a header may hold is repeated. */
function toHeader(names: readonly string[]): string {
  return names
    .slice(0, MAX_REPORTED.names)
    .map((name) => name.slice(0, MAX_REPORTED.characters).replaceAll(/[^\w.$-]/g, "?"))
    .join(", ");
}
