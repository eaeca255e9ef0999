import type { RequestHandler } from "express";

import type { Engine, EngineStatus } from "../../domain/engine.ts";
import { exchangeOf, type Exchange } from "../exchange.ts";
import { Registry } from "./registry.ts";

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const TOKEN_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

const NO_WORK: EngineStatus = {
  slots: [],
  queued: 0,
  batches: 0,
  busySlotsInBatches: 0,
  idlePrefixes: { count: 0, bytes: 0, restored: 0 },
};

/** What GET /metrics tells: llama.cpp's names first, then this server's own. Everything is a count or a time. */
export class ServerMetrics {
  readonly #registry = new Registry();
  readonly #engine: Engine;
  readonly #promptTokens = this.#registry.counter("llamacpp:prompt_tokens_total", "Number of prompt tokens processed.");
  readonly #cachedTokens = this.#registry.counter(
    "llamacpp:prompt_tokens_cached_total",
    "Number of prompt tokens reused from the cache.",
  );
  readonly #promptSeconds = this.#registry.counter("llamacpp:prompt_seconds_total", "Prompt process time");
  readonly #predictedTokens = this.#registry.counter(
    "llamacpp:tokens_predicted_total",
    "Number of generation tokens processed.",
  );
  readonly #predictedSeconds = this.#registry.counter(
    "llamacpp:tokens_predicted_seconds_total",
    "Predict process time",
  );
  readonly #requests = this.#registry.counter("pinference:requests_total", "Requests by route and status.");
  readonly #queueSeconds = this.#registry.histogram(
    "pinference:queue_seconds",
    "Time from a request's acceptance to its slot.",
    SECONDS,
  );
  readonly #firstTokenSeconds = this.#registry.histogram(
    "pinference:time_to_first_token_seconds",
    "Time from a request's acceptance to its first token.",
    SECONDS,
  );
  readonly #tokenSeconds = this.#registry.histogram(
    "pinference:time_per_token_seconds",
    "Time for each token after the first.",
    TOKEN_SECONDS,
  );
  readonly #requestSeconds = this.#registry.histogram(
    "pinference:request_seconds",
    "Time of whole requests that generate.",
    SECONDS,
  );
  #mostTokens = 0;

  constructor(engine: Engine) {
    this.#engine = engine;
    this.#addGauges();
  }

  /** Counts each request when its answer is over. */
  get measure(): RequestHandler {
    return (_req, res, next) => {
      res.once("close", () => this.#note(exchangeOf(res), res.writableFinished ? res.statusCode : 499));
      next();
    };
  }

  render(): string {
    return this.#registry.render();
  }

  #note(exchange: Exchange, status: number): void {
    // Unknown paths are the client's own words: they share one label.
    this.#requests.add(1, { route: exchange.route ?? "unknown", status });
    this.countGeneration(exchange);
  }

  /** Counts what was generated, once it is known: at the answer's end, or later for what runs in the background. */
  countGeneration(exchange: Exchange): void {
    const { usage, timings } = exchange;
    if (usage === undefined || timings === undefined || exchange.isCounted) return;
    exchange.isCounted = true;
    this.#promptTokens.add(timings.promptTokens);
    this.#cachedTokens.add(timings.cachedTokens);
    this.#promptSeconds.add(timings.promptMs / 1000);
    this.#predictedTokens.add(timings.predictedTokens);
    this.#predictedSeconds.add(timings.predictedMs / 1000);
    this.#queueSeconds.observe(timings.queuedMs / 1000);
    this.#firstTokenSeconds.observe((timings.queuedMs + timings.promptMs) / 1000);
    if (timings.predictedTokens > 1) {
      this.#tokenSeconds.observe(timings.predictedMs / 1000 / (timings.predictedTokens - 1));
    }
    this.#requestSeconds.observe((performance.now() - exchange.startedAt) / 1000);
    this.#mostTokens = Math.max(this.#mostTokens, usage.promptTokens + usage.completionTokens);
  }

  #addGauges(): void {
    const registry = this.#registry;
    const status = () => (this.#engine.isReady ? this.#engine.status() : NO_WORK);
    registry.countedElsewhere(
      "llamacpp:n_decode_total",
      "Total number of llama_decode() calls",
      () => status().batches,
    );
    registry.countedElsewhere(
      "llamacpp:n_tokens_max",
      "Largest observed number of tokens of a request.",
      () => this.#mostTokens,
    );
    registry.gauge("llamacpp:prompt_tokens_seconds", "Average prompt throughput in tokens/s.", () =>
      ratio(this.#promptTokens.value, this.#promptSeconds.value),
    );
    registry.gauge("llamacpp:predicted_tokens_seconds", "Average generation throughput in tokens/s.", () =>
      ratio(this.#predictedTokens.value, this.#predictedSeconds.value),
    );
    registry.gauge(
      "llamacpp:requests_processing",
      "Number of requests processing.",
      () => status().slots.filter(({ busy }) => busy).length,
    );
    registry.gauge("llamacpp:requests_deferred", "Number of requests deferred.", () => status().queued);
    registry.gauge("llamacpp:n_busy_slots_per_decode", "Average number of busy slots per llama_decode() call", () =>
      ratio(status().busySlotsInBatches, status().batches),
    );
    registry.gauge(
      "pinference:idle_prefixes",
      "Conversations without a slot whose evaluated state is kept.",
      () => status().idlePrefixes.count,
    );
    registry.gauge("pinference:idle_prefix_bytes", "Memory of these states.", () => status().idlePrefixes.bytes);
    registry.countedElsewhere(
      "pinference:idle_prefixes_restored_total",
      "How often such a state was brought back into a slot.",
      () => status().idlePrefixes.restored,
    );
    registry.gauge("process_resident_memory_bytes", "Memory of the process.", () => process.memoryUsage.rss());
  }
}

function ratio(amount: number, per: number): number {
  return per > 0 ? amount / per : 0;
}
