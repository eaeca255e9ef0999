/** Faults in how messages are taken, processed and shown. */
import type { RequestHandler, Response } from "express";

import type { MessageType } from "../../messages/envelope.ts";
import { RETRIED_CODES, type RejectionCode } from "../../messages/rejections.ts";
import { HttpRefusal } from "../http-refusal.ts";
import type { RetryPolicy } from "../processor.ts";
import { Rejection } from "../rejection.ts";
import { alterAnswer, isOne } from "./alter-answer.ts";
import type { FaultName } from "./fault-table.ts";
import type { Faults } from "./faults.ts";

const REJECTING: Readonly<Partial<Record<MessageType, Extract<FaultName, `reject-${string}`>>>> = {
  STORE: "reject-store",
  PROGRAM: "reject-program",
  FORGET: "reject-forget",
  AGGREGATE: "reject-aggregate",
};

/** What is to become of a message that is processed now: undefined for what it deserves. */
export type ProcessingFault = (type: MessageType) => Rejection | "stall" | undefined;

export function processingFault(faults: Faults): ProcessingFault {
  return (type) => {
    if (faults.take("stall")) return "stall";
    const name = REJECTING[type];
    const code = name === undefined ? undefined : faults.take(name);
    return code === undefined ? undefined : new Rejection(code, detailsOf(code), { retry: RETRIED_CODES.has(code) });
  };
}

/** As the network words them. */
function detailsOf(code: RejectionCode): unknown {
  switch (code) {
    case 5:
      return { errors: [{ required_balance: "200.0", account_balance: "0.0" }] };
    case 6:
      return { errors: [{ required_credits: "264000", account_credits: "1000", min_runtime_days: 1 }] };
    case 301:
      return { errors: ["cafe".repeat(16)] };
    default:
      return null;
  }
}

/** The waits of a node that is in a hurry. */
export function hurriedRetries(policy: RetryPolicy, faults: Faults): RetryPolicy {
  return {
    maxRetries: policy.maxRetries,
    delayMs: (n) => Math.min(policy.delayMs(n), faults.take("hurry") ?? Infinity),
  };
}

/** Below /api/v0, before the routes. */
export function messageFaults(faults: Faults): RequestHandler {
  return (req, res, next) => {
    if (req.method === "POST" && req.path === "/messages") publish(faults, res);
    if (req.method === "GET" && req.path.startsWith("/messages")) read(faults, req.path, res);
    if (!res.headersSent) next();
  };
}

/** Errors: `HttpRefusal`. */
function publish(faults: Faults, res: Response): void {
  const status = faults.take("publish-status");
  if (status !== undefined) throw new HttpRefusal(status, status === 422 ? "InvalidMessageFormat" : "");
  if (faults.take("publish-lost")) res.status(202).json(published("pending"));
  const said = faults.take("publish-lies");
  if (said === undefined) return;
  alterAnswer(res, () => {
    res.status(200);
    return published(said);
  });
}

function published(status: string) {
  return { publication_status: { status: "success", failed: [] }, message_status: status };
}

/** Errors: `HttpRefusal`. */
function read(faults: Faults, path: string, res: Response): void {
  const status = faults.take("read-status");
  if (status !== undefined) throw new HttpRefusal(status, "");
  if (!isOne(path, "/messages/")) return;
  alterAnswer(res, (body) => {
    const answer = body as { readonly status?: string; readonly message?: Readonly<Record<string, unknown>> };
    if (answer.status !== "processed" || answer.message === undefined) return body;
    if (faults.take("message-forged")) return { ...answer, message: forge(answer.message) };
    const isProgram = answer.message["type"] === "PROGRAM";
    const said = faults.take("message-status") ?? (isProgram ? faults.take("program-status") : undefined);
    if (said === undefined) return body;
    if (said === "unknown") res.status(404);
    return asStatus(said, answer, answer.message);
  });
}

/** It says something else, in the name of the same hash. */
function forge(message: Readonly<Record<string, unknown>>) {
  return { ...message, item_content: String(message["item_content"]).replace(/"address"/, '"adress"') };
}

/** Source: pyaleph 0.10, schemas/api/messages.py. */
function asStatus(said: string, head: object, message: Readonly<Record<string, unknown>>): object {
  const { item_content: _text, content, ...skeleton } = message;
  const reason = "credit_insufficient";
  switch (said) {
    case "unknown":
      return { status: "error", message: "no message with this hash on this node" };
    case "pending":
      return { ...head, status: said, message: undefined, messages: [message] };
    case "removing":
      return { ...head, status: said, reason };
    case "removed":
      return { ...head, status: said, message: skeleton, reason, removed_at: new Date().toISOString() };
    default: {
      const { address } = content as { readonly address?: string };
      return { ...head, status: said, message: { ...skeleton, owner: address }, forgotten_by: ["cafe".repeat(16)] };
    }
  }
}
