import { randomUUID } from "node:crypto";
import type { Response } from "express";

import type { Timings, Usage } from "../domain/generation.ts";

/** What the server knows of one request and its answer, for headers and for the log. */
export interface Exchange {
  readonly id: string;
  /** Of `performance.now()`. */
  readonly startedAt: number;
  /** The path's pattern, so that logs can be counted by it. */
  route: string | undefined;
  streamed: boolean;
  errorCode: string | undefined;
  firstStepAt: number | undefined;
  usage: Usage | undefined;
  timings: Timings | undefined;
  /** Whether its tokens and times are in the metrics. */
  isCounted: boolean;
}

const REQUEST_ID = /^[A-Za-z0-9._:-]{1,128}$/;

export function createExchange(givenId: string | undefined): Exchange {
  return {
    id: givenId !== undefined && REQUEST_ID.test(givenId) ? givenId : newId("req_"),
    startedAt: performance.now(),
    route: undefined,
    streamed: false,
    errorCode: undefined,
    firstStepAt: undefined,
    usage: undefined,
    timings: undefined,
    isCounted: false,
  };
}

/** Set by middleware/request-id.ts, before anything else runs. */
export function exchangeOf(res: Response): Exchange {
  return res.locals["exchange"] as Exchange;
}

export function newId(prefix: string): string {
  return prefix + randomUUID().replaceAll("-", "");
}

export function elapsedMs(exchange: Exchange): number {
  return Math.round(performance.now() - exchange.startedAt);
}
