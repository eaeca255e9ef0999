/** Starts a published program on a compute node by asking it for its health, and says why where it does not start. */
import { setTimeout as delay } from "node:timers/promises";

import { CodedError } from "../../src/domain/errors.ts";
import type { ItemHash } from "../../src/domain/hash.ts";
import type { AlephNetwork } from "../network/aleph.ts";
import { readCrnAnswer, type Look } from "./crn-answer.ts";

/** Who publishes the list of compute nodes. Source: the network's own tools. */
const NODE_LIST_ADDRESS = "0xa1B3bb7d2332383D96b7796B908fB7f7F3c2Be10";
const NODE_LIST_KEY = "corechannel";
/** Tried in turn where none is named. */
const MOST_NODES = 5;
/** A start goes on when the client leaves, so short looks lose nothing, and proxies cut at 300 s. */
const LOOK_MS = 60_000;
const PAUSE_MS = 2000;
/** A model of some gigabytes comes to a node through one gateway, at a few hundred kilobytes a second. */
const WARM_LIMIT_MS = 3 * 3600_000;
const FAILED_LOOKS = 3;

export interface WarmOptions {
  readonly signal: AbortSignal;
  readonly limitMs?: number;
  /** Of one look. */
  readonly lookMs?: number;
  readonly pauseMs?: number;
  /** What a node says while it is not ready; each reason once in a row. */
  readonly onWait?: (reason: string) => void;
}

/** What is asked of the network to find its compute nodes. */
export type CrnList = Pick<AlephNetwork, "apiServer" | "aggregate">;

/** Base URLs, best first. The local node runs programs itself. Errors: `network_refused` where the list is empty. */
export async function findCrns(network: CrnList, given: string | undefined, signal: AbortSignal) {
  if (given !== undefined) return given.split(",").map((url) => normalUrl(url));
  const { hostname } = new URL(network.apiServer);
  if (["127.0.0.1", "localhost", "[::1]"].includes(hostname)) return [network.apiServer];
  const list = await network.aggregate(NODE_LIST_ADDRESS, NODE_LIST_KEY, signal);
  const nodes = Array.isArray(list?.["resource_nodes"]) ? (list["resource_nodes"] as readonly CrnEntry[]) : [];
  const urls = nodes
    .filter(({ status, address }) => status === "linked" && URL.canParse(address ?? ""))
    .toSorted((a, b) => (b.score ?? 0) - (a.score ?? 0))
    .slice(0, MOST_NODES)
    .map(({ address = "" }) => normalUrl(address));
  if (urls.length > 0) return urls;
  throw new CodedError("network_refused", "the network names no compute node: give one with --crn https://…");
}

interface CrnEntry {
  readonly address?: string;
  readonly status?: string;
  readonly score?: number;
}

/** Errors: `usage`. */
function normalUrl(text: string): string {
  const url = URL.canParse(text.trim()) ? new URL(text.trim()) : undefined;
  if (url?.protocol === "http:" || url?.protocol === "https:") return url.href.replace(/\/+$/, "");
  throw new CodedError("usage", `--crn takes URLs such as https://crn.example.org, got "${text.slice(0, 100)}"`);
}

/** The first of these nodes on which the program answers. Errors: `program_failed` with each node's reason. */
export async function warmOnOneOf(crns: readonly string[], itemHash: ItemHash, options: WarmOptions): Promise<string> {
  const reasons: string[] = [];
  for (const crn of crns) {
    const reason = await warm(crn, itemHash, options);
    if (reason === undefined) return crn;
    reasons.push(`${new URL(crn).host}: ${reason}`);
  }
  const advice = "Try `pinference warm` with another --crn; the program itself stays published";
  throw new CodedError("program_failed", `the program started on no compute node. ${reasons.join(". ")}. ${advice}`);
}

/** Undefined when the program is ready there, else why it will not be. Errors: the signal's reason. */
export async function warm(crn: string, itemHash: ItemHash, options: WarmOptions): Promise<string | undefined> {
  const { signal, limitMs = WARM_LIMIT_MS, lookMs = LOOK_MS, pauseMs = PAUSE_MS, onWait } = options;
  const giveUpAt = performance.now() + limitMs;
  let failures = 0;
  let said: string | undefined;
  for (;;) {
    signal.throwIfAborted();
    const look = await lookAt(`${crn}/vm/${itemHash}/health`, lookMs, signal);
    if (look.kind === "ready") return undefined;
    if (look.kind === "refused") return look.reason;
    failures = look.kind === "broken" ? failures + 1 : 0;
    if (failures === FAILED_LOOKS) return look.reason;
    if (performance.now() > giveUpAt) return notReady(limitMs, look.reason);
    if (look.reason !== said) onWait?.(look.reason);
    said = look.reason;
    await delay(pauseMs, undefined, { signal }).catch(() => undefined);
  }
}

export interface CrnState {
  readonly crn: string;
  /** A cold program starts with the next request; one that runs and does not answer well says why. */
  readonly state: "running" | "loading" | "failing" | "cold" | "unreachable";
  /** How long its health took to be told. */
  readonly answerMs: number | undefined;
  readonly reason?: string;
}

/** Starts nothing. Source: GET /about/executions/list of a compute node. */
export async function crnStateOf(
  crn: string,
  itemHash: ItemHash,
  { signal, lookMs = LOOK_MS }: Pick<WarmOptions, "signal" | "lookMs">,
): Promise<CrnState> {
  const options = { signal: AbortSignal.any([signal, AbortSignal.timeout(lookMs)]) };
  try {
    const list = await fetch(`${crn}/about/executions/list`, options);
    const running = (await list.json()) as Readonly<Record<string, unknown>>;
    if (!(itemHash in running)) return { crn, state: "cold", answerMs: undefined };
    const askedAt = performance.now();
    const response = await fetch(`${crn}/vm/${itemHash}/health`, options);
    const look = readCrnAnswer(response.status, await response.text());
    const answerMs = Math.round(performance.now() - askedAt);
    if (look.kind === "ready") return { crn, state: "running", answerMs };
    return { crn, state: look.kind === "waiting" ? "loading" : "failing", answerMs, reason: look.reason };
  } catch {
    signal.throwIfAborted();
    return { crn, state: "unreachable", answerMs: undefined };
  }
}

function notReady(limitMs: number, reason: string): string {
  const waited = limitMs < 60_000 ? `${Math.round(limitMs / 1000)} s` : `${Math.round(limitMs / 60_000)} minutes`;
  const advice = "what it has begun goes on: run the same command again later, or name another node with --crn";
  return `it was not ready after ${waited} (${reason}); ${advice}`;
}

async function lookAt(url: string, lookMs: number, signal: AbortSignal): Promise<Look> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(lookMs)]) });
    text = await response.text();
  } catch (error) {
    signal.throwIfAborted();
    if ((error as Error).name === "TimeoutError") return { kind: "waiting", reason: "it is starting" };
    const { cause } = error as { cause?: { code?: string } };
    const why = cause?.code ?? (error as Error).message;
    return { kind: "broken", reason: `it does not answer (${why}); check its address, or name another with --crn` };
  }
  return readCrnAnswer(response.status, text);
}
