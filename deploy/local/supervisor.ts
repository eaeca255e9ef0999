import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { availableParallelism } from "node:os";

import type { ItemHash } from "../../src/domain/hash.ts";
import { exchangeWhole } from "./as-network.ts";
import type { Backend } from "./backends/backend.ts";
import type { ProgramStatus } from "./index-page.ts";
import { GATEWAY_TIMEOUT_PAGE, PROGRAM_MEMORY_MIB, VCPUS_PER_CPU } from "./network-rules.ts";
import { sendIndex, sendOwnPage } from "./own-pages.ts";
import { passThrough } from "./pass-through.ts";
import { type NodeLog, ProgramPool } from "./program-pool.ts";
import * as refusals from "./refusals.ts";
import { isOwner, type CheckStrict, type Owners } from "./resolve.ts";
import { hostLabel, type Route, route } from "./routing.ts";
import type { NodeStore, ProcessedMessage } from "./store.ts";

export interface SupervisorOptions {
  readonly store: NodeStore;
  readonly backend: Backend;
  readonly checkStrict: CheckStrict;
  readonly owners: Owners;
  /** True: whole answers, and every limit of a CRN. False: streams pass through. */
  readonly asNetwork: boolean;
  /** Default one hour, as on a CRN. */
  readonly idleMs?: number;
  /** In the network's mode: no answer within this time is cut by the gateway. Undefined: there is no gateway. */
  readonly gatewayTimeoutMs?: number;
  /** Host names of this node besides localhost and addresses. */
  readonly ownHosts?: readonly string[];
  /** Where the node listens, as `http://127.0.0.1:4020`. Known once it does. */
  readonly baseUrl: () => string;
  readonly log: NodeLog;
}

export interface Supervisor {
  readonly listener: RequestListener;
  programs(): Promise<readonly ProgramStatus[]>;
  /** From now on requests get 503. */
  drain(): void;
  /** Resolves when no program is left. */
  close(): Promise<void>;
}

const IDLE_MS = 3_600_000;

/** The part of a CRN that clients see: programs by item hash, started when they are asked for. */
export function createSupervisor(options: SupervisorOptions): Supervisor {
  const { store, backend, checkStrict, owners, asNetwork, idleMs = IDLE_MS, ownHosts, baseUrl, log } = options;
  const capacity = { memoryMiB: PROGRAM_MEMORY_MIB, vcpus: VCPUS_PER_CPU * availableParallelism() };
  const pool = new ProgramPool({
    store,
    backend,
    checkStrict,
    owners,
    idleMs,
    capacity: asNetwork ? capacity : undefined,
    log,
  });

  async function programs(): Promise<readonly ProgramStatus[]> {
    return (await store.programs()).map((message) => toStatus(message, baseUrl(), pool, owners));
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const found = route(request.headers.host, request.url ?? "/", ownHosts);
    if (found.kind === "program") return runProgram(request, response, found.itemHash, found.target);
    if (found.kind === "index") return sendIndex(request, response, await programs());
    if (found.kind === "own" && sendOwnPage(response, found.path, found.query, pool.running())) return;
    throw toRefusal(found);
  }

  async function runProgram(
    request: IncomingMessage,
    response: ServerResponse,
    itemHash: ItemHash,
    target: string,
  ): Promise<void> {
    const stopGateway = asNetwork ? startGatewayTimeout(response, options.gatewayTimeoutMs) : undefined;
    // Not tied to the client: a start goes on when it gives up, so that its next try finds a running program.
    const lease = await pool.acquire(itemHash);
    try {
      const exchange = { request, response, target, lease };
      const { http } = lease.running;
      // The protocol knows whole answers only.
      await (asNetwork || http === undefined ? exchangeWhole(exchange) : passThrough({ ...exchange, http }));
    } finally {
      stopGateway?.();
      lease.release();
    }
  }

  function listener(request: IncomingMessage, response: ServerResponse): void {
    answer(request, response).catch((error: unknown) => {
      const refusal = error instanceof refusals.Refusal ? error : refusals.unexpected(error);
      if (refusal.status >= 500) log("request refused", { status: refusal.status, error: refusal.message });
      refusals.sendRefusal(response, refusal, asNetwork);
    });
  }

  return { listener, programs, drain: () => pool.drain(), close: () => pool.close() };
}

function toRefusal(found: Exclude<Route, { kind: "program" | "index" }>): refusals.Refusal {
  switch (found.kind) {
    case "malformed-reference":
      return refusals.malformedReference(found.reference);
    case "wrong-label-length":
      return refusals.wrongLabelLength(found.label, found.hex);
    case "own":
      return refusals.ownPageNotFound(found.path);
    default:
      return refusals.noProgramHere(found.path);
  }
}

/** The proxy in front of a CRN gives up when no byte comes, cold start included; the program is not told. */
function startGatewayTimeout(response: ServerResponse, timeoutMs: number | undefined): (() => void) | undefined {
  if (timeoutMs === undefined) return undefined;
  const timer = setTimeout(() => {
    if (response.headersSent || response.destroyed) return;
    response.writeHead(504, { "Content-Type": "text/html", "Cache-Control": "no-cache", Connection: "close" });
    response.end(GATEWAY_TIMEOUT_PAGE);
  }, timeoutMs);
  const stop = (): void => clearTimeout(timer);
  response.once("close", stop);
  return stop;
}

function toStatus(
  { itemHash, content, sender }: ProcessedMessage,
  baseUrl: string,
  pool: ProgramPool,
  owners: Owners,
): ProgramStatus {
  const { metadata } = content as { metadata?: { name?: unknown } };
  const label = hostLabel(itemHash);
  const { port } = new URL(baseUrl);
  return {
    itemHash,
    name: typeof metadata?.name === "string" ? metadata.name : itemHash.slice(0, 12),
    url: `${baseUrl}/vm/${itemHash}`,
    hostUrl: label === undefined ? undefined : `http://${label}.localhost:${port}`,
    state: pool.state(itemHash),
    isForeign: !isOwner(owners, sender),
  };
}
