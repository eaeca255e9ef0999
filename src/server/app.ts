import express, { type Express, type RequestHandler } from "express";

import type { Engine } from "../domain/engine.ts";
import type { Sha256 } from "../domain/hash.ts";
import { NO_DEFAULTS, type ModelDefaults } from "../domain/model-defaults.ts";
import type { ProgramFacts } from "../domain/model.ts";
import type { Log } from "../log.ts";
import { abortWhenClientLeaves } from "./client.ts";
import { exchangeOf } from "./exchange.ts";
import { Lifecycle } from "./lifecycle.ts";
import { auth } from "./middleware/auth.ts";
import { jsonBody } from "./middleware/body.ts";
import { cors } from "./middleware/cors.ts";
import { errors } from "./middleware/errors.ts";
import { messagesRequestId, onlyMethods, paths, unknownPath } from "./middleware/paths.ts";
import { requestId } from "./middleware/request-id.ts";
import { ServerMetrics } from "./metrics/server-metrics.ts";
import { readPageFiles } from "./page-files.ts";
import { waitUntilReady } from "./readiness.ts";
import { about } from "./routes/about.ts";
import { ResponseStore } from "./responses/store.ts";
import { chatCompletions } from "./routes/chat-completions.ts";
import { completions } from "./routes/completions.ts";
import { applyTemplate, inputTokens } from "./routes/chat-questions.ts";
import { embeddings, nativeEmbeddings, rerank } from "./routes/embeddings.ts";
import { health } from "./routes/health.ts";
import { messages, messageTokens } from "./routes/messages.ts";
import { model, models } from "./routes/models.ts";
import { infill, nativeCompletion } from "./routes/native-completion.ts";
import { openApi } from "./routes/openapi.ts";
import { page, pageAsset, streamCheck } from "./routes/page.ts";
import {
  cancelResponse,
  createResponse,
  deleteResponse,
  getResponse,
  responseEvents,
  responseInputItems,
  responseInputTokens,
} from "./routes/responses.ts";
import { changeProps, changeSlot, loraAdapters, metricsPage, props, slots } from "./routes/status.ts";
import { detokenize, tokenize } from "./routes/tokens.ts";

export interface AppOptions {
  readonly engine: Engine;
  readonly log: Log;
  /** Hashes of the keys that are let in; none lets everybody in. */
  readonly apiKeyHashes: readonly Sha256[];
  /** Whether every model name means the served model. */
  readonly anyModel: boolean;
  readonly bodyLimitBytes: number;
  /** How long a request waits for the model to load. */
  readonly loadWaitMs: number;
  readonly corsOrigin: string;
  /** What the program's variables tell of it, for its page. */
  readonly facts?: ProgramFacts;
  /** What requests get that leave it out. */
  readonly defaults?: ModelDefaults;
  /** Given by whoever wants to stop the server gently. */
  readonly lifecycle?: Lifecycle;
}

/** The whole HTTP interface, in the order in which a request meets it. */
export function createApp(options: AppOptions): Express {
  const { engine, log, apiKeyHashes, bodyLimitBytes, loadWaitMs, corsOrigin, lifecycle = new Lifecycle() } = options;
  const app = express();
  app.disable("x-powered-by").disable("etag").set("query parser", false);
  app.enable("case sensitive routing").enable("strict routing");

  const metrics = new ServerMetrics(engine);
  app.use(requestId(log), metrics.measure, cors(corsOrigin), paths, messagesRequestId);

  serve(app, ["/health", "/v1/health"], { GET: [health(engine, lifecycle)] });
  const pageFiles = readPageFiles();
  serve(app, ["/"], { GET: [page(engine, pageFiles)] });
  serve(app, ["/assets/:name"], { GET: [pageAsset(pageFiles) as RequestHandler] });
  serve(app, ["/about.json"], { GET: [about(options)] });
  serve(app, ["/stream-check"], { GET: [streamCheck] });

  app.use(lifecycle.admit, auth(apiKeyHashes));

  const ready: RequestHandler = async (_req, res, next) => {
    await waitUntilReady(engine, loadWaitMs, abortWhenClientLeaves(res));
    next();
  };
  serve(app, ["/v1/models", "/models"], { GET: [ready, models(engine)] });
  serve(app, ["/v1/models/*id", "/models/*id"], { GET: [ready, model(engine) as RequestHandler] });
  serve(app, ["/props"], { GET: [ready, props(engine, options.defaults ?? NO_DEFAULTS)], POST: [changeProps] });
  serve(app, ["/slots"], { GET: [ready, slots(engine)] });
  serve(app, ["/slots/:id"], { POST: [ready, changeSlot(engine) as RequestHandler] });
  serve(app, ["/metrics"], { GET: [metricsPage(metrics)] });
  serve(app, ["/openapi.json"], { GET: [openApi()] });
  serve(app, ["/lora-adapters"], { GET: [loraAdapters] });
  serve(app, ["/v1/chat/completions", "/chat/completions"], {
    POST: [jsonBody(bodyLimitBytes), chatCompletions(options)],
  });
  const questions: [string[], RequestHandler][] = [
    [["/v1/chat/completions/input_tokens", "/chat/completions/input_tokens"], inputTokens(options)],
    [["/v1/messages/count_tokens"], messageTokens(options)],
    [["/apply-template"], applyTemplate(options)],
    [["/tokenize"], tokenize(engine)],
    [["/detokenize"], detokenize(engine)],
    [["/v1/embeddings"], embeddings(options)],
    [["/embedding", "/embeddings"], nativeEmbeddings(options)],
    [["/v1/rerank", "/rerank", "/v1/reranking", "/reranking"], rerank(options)],
  ];
  for (const [aliases, handler] of questions) {
    serve(app, aliases, { POST: [jsonBody(bodyLimitBytes), ready, handler] });
  }
  serve(app, ["/v1/messages"], { POST: [jsonBody(bodyLimitBytes), messages(options)] });
  serve(app, ["/completion", "/completions"], { POST: [jsonBody(bodyLimitBytes), nativeCompletion(options)] });
  serve(app, ["/infill"], { POST: [jsonBody(bodyLimitBytes), infill(options)] });
  serve(app, ["/v1/completions"], { POST: [jsonBody(bodyLimitBytes), completions(options)] });
  serveResponses(app, { ...options, lifecycle, metrics }, ready);

  app.use(unknownPath);
  app.use(errors(log));
  return app;
}

interface ResponsesSettings extends AppOptions {
  readonly lifecycle: Lifecycle;
  readonly metrics: ServerMetrics;
}

function serveResponses(app: Express, options: ResponsesSettings, ready: RequestHandler): void {
  const body = jsonBody(options.bodyLimitBytes);
  const settings = { ...options, responses: new ResponseStore() };
  const one = "/v1/responses/:id";
  serve(app, ["/v1/responses", "/responses"], { POST: [body, createResponse(settings)] });
  serve(app, ["/v1/responses/input_tokens"], { POST: [body, ready, responseInputTokens(settings)] });
  serve(app, [`${one}/cancel`], { POST: [cancelResponse(settings) as RequestHandler] });
  serve(app, [`${one}/input_items`], { GET: [responseInputItems(settings) as RequestHandler] });
  serve(app, [`${one}/events`], { GET: [responseEvents(settings) as RequestHandler] });
  serve(app, [one], {
    GET: [getResponse(settings) as RequestHandler],
    DELETE: [deleteResponse(settings) as RequestHandler],
  });
}

type Method = "GET" | "POST" | "DELETE";

/** One resource under all its paths. Methods that are not given are refused with the list of those that are. */
function serve(app: Express, aliases: string[], handlers: Partial<Record<Method, RequestHandler[]>>): void {
  const note: RequestHandler = (_req, res, next) => {
    exchangeOf(res).route = aliases[0];
    next();
  };
  if (handlers.GET) app.get(aliases, note, ...handlers.GET);
  if (handlers.POST) app.post(aliases, note, ...handlers.POST);
  if (handlers.DELETE) app.delete(aliases, note, ...handlers.DELETE);
  const methods = Object.keys(handlers).flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method]));
  app.all(aliases, note, onlyMethods(...methods));
}
