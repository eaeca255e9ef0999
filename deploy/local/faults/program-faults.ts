/** Faults of a compute node, in its own words. */
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";

import type { ItemHash } from "../../../src/domain/hash.ts";
import { GATEWAY_TIMEOUT_PAGE } from "../network-rules.ts";
import * as refusals from "../refusals.ts";
import { route } from "../routing.ts";
import { later } from "./connection-faults.ts";
import type { FaultArgument } from "./fault-table.ts";
import type { Faults } from "./faults.ts";

type Reason = FaultArgument<"crn">;

/** Around the supervisor of a node. */
export function withProgramFaults(
  listener: RequestListener,
  faults: Faults,
  options: { readonly asNetwork: boolean; readonly ownHosts: readonly string[] },
): RequestListener {
  return (request, response) => {
    if (faults.take("crn-down")) {
      request.destroy();
      return;
    }
    const found = route(request.headers.host, request.url ?? "/", options.ownHosts);
    const reason = found.kind === "program" ? reasonFor(faults, found.target) : undefined;
    if (found.kind === "program" && reason !== undefined) {
      request.resume();
      fail(reason, found.itemHash, request, response, options.asNetwork);
      return;
    }
    const ms = found.kind === "program" ? faults.take("crn-slow") : undefined;
    later(ms, () => listener(request, response));
  };
}

function reasonFor(faults: Faults, target: string): Reason | undefined {
  const isChat = /\/chat\/completions(?:\?|$)/.test(target);
  return faults.take("crn") ?? (isChat ? faults.take("crn-chat") : undefined);
}

function fail(
  reason: Reason,
  itemHash: ItemHash,
  request: IncomingMessage,
  response: ServerResponse,
  asNetwork: boolean,
): void {
  if (reason === "silent") return;
  if (reason === "cut") {
    request.destroy();
    return;
  }
  if (reason === "gateway") {
    response.writeHead(504, { "Content-Type": "text/html" }).end(GATEWAY_TIMEOUT_PAGE);
    return;
  }
  refusals.sendRefusal(response, REFUSALS[reason](itemHash), asNetwork);
}

const CAUSE = new Error("a fault was asked for");
const SOME_REF = "cafe".repeat(16);

const REFUSALS: Readonly<
  Record<Exclude<Reason, "silent" | "cut" | "gateway">, (itemHash: ItemHash) => refusals.Refusal>
> = {
  full: () => refusals.noCapacity("12288 MiB would be in use, a CRN gives programs 8192 MiB"),
  strict: (itemHash) => refusals.contentRefused(itemHash, CAUSE),
  draining: refusals.draining,
  download: () => refusals.partMissing("code", SOME_REF),
  volume: () => refusals.volumeMissing(SOME_REF, "file"),
  runtime: (itemHash) => refusals.startFailed(itemHash, CAUSE),
  setup: (itemHash) => refusals.setupRefused(itemHash, CAUSE),
  crash: () => refusals.noAnswer("was killed by SIGKILL"),
  garbled: () => refusals.invalidAnswer(CAUSE),
  traceback: () => refusals.guestFailed("Traceback (most recent call last):\n  a fault was asked for"),
  timeout: () => refusals.timedOut(290),
};
