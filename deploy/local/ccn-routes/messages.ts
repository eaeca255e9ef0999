/** /api/v0/messages: publish and read. Source: pyaleph 0.10, web/controllers/p2p.py and messages.py. */
import express, { Router, type Response } from "express";
import * as z from "zod";

import { parseItemHash } from "../../../src/domain/hash.ts";
import { readEnvelope, type Envelope } from "../../messages/envelope.ts";
import { HttpRefusal, refusal } from "../http-refusal.ts";
import { queryMessages } from "../message-query.ts";
import type { MessageRecord } from "../message-store.ts";
import { toListedMessage, toMessageAnswer, toStatusAnswer } from "../message-view.ts";
import { readItem } from "../processor.ts";
import type { NodeParts } from "./node-parts.ts";

const BODY_BYTES = 1_048_576;

const publishRequest = z.object({ sync: z.boolean().default(false), message: z.unknown() });
const pubsubRequest = z.object({ topic: z.string(), data: z.string() });

/** The network's bare text: it never says what is wrong with a message, so publishers check first. */
export const INVALID_FORMAT = new HttpRefusal(422, "InvalidMessageFormat");

export function messageRoutes({ messages, processor, syncWaitMs }: NodeParts): Router {
  const router = Router();

  router.post("/messages", parseJson(), async (req, res) => {
    const request = publishRequest.safeParse(req.body);
    if (!request.success) throw new HttpRefusal(422, JSON.stringify(request.error.issues));
    const { message, sync } = request.data;
    const record = await processor.submit(requireFormat(message), sync ? syncWaitMs() : 0);
    const status = publishedStatus(record);
    res.status(status.http).json({
      publication_status: { status: "success", failed: [] },
      message_status: status.name,
    });
  });

  // What old clients used; the SDK still falls back to it.
  router.post(["/ipfs/pubsub/pub", "/p2p/pubsub/pub"], parseJson(), async (req, res) => {
    const request = pubsubRequest.safeParse(req.body);
    if (!request.success) throw new HttpRefusal(422, JSON.stringify(request.error.issues));
    if (request.data.topic !== "ALEPH-TEST") throw refusal(403, "unauthorized topic");
    await processor.submit(requireFormat(parseText(request.data.data)), 0);
    res.json({ status: "success", failed: [] });
  });

  router.get("/messages.json", (req, res) => {
    const { records, page, perPage, total } = queryMessages(messages.all(), req.query);
    res.json({
      messages: records.map(toListedMessage),
      pagination_page: page,
      pagination_per_page: perPage,
      pagination_total: total,
      pagination_item: "messages",
    });
  });

  router.get("/messages/:hash", (req, res) => {
    res.json(toMessageAnswer(find(req.params.hash)));
  });

  router.get("/messages/:hash/status", (req, res) => {
    res.json(toStatusAnswer(find(req.params.hash)));
  });

  router.get("/messages/:hash/content", (req, res) => {
    const record = find(req.params.hash);
    if (record.status !== "processed") throw refusal(422, `the message is ${record.status}`);
    res.json(record.item.content);
  });

  function find(hash: string): MessageRecord {
    const record = messages.get(parseItemHash(hash));
    if (record === undefined) throw refusal(404, "no message with this hash on this node");
    return record;
  }

  return router;
}

/** Errors: 422 in the network's own words, for an envelope or an inline content that breaks its schema. */
export function requireFormat(message: unknown): Envelope {
  const result = readEnvelope(message);
  if (!result.ok) throw INVALID_FORMAT;
  const { envelope } = result;
  if (envelope.item_content !== undefined && readItem(envelope) === undefined) throw INVALID_FORMAT;
  return envelope;
}

/** The HTTP status that tells a message's state. */
export function publishedStatus(record: MessageRecord): { readonly http: number; readonly name: string } {
  if (record.status === "pending") return { http: 202, name: "pending" };
  if (record.status === "processed") return { http: 200, name: "processed" };
  // To post a forgotten message again is refused as well.
  return { http: 422, name: "rejected" };
}

function parseText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw INVALID_FORMAT;
  }
}

/** Bodies are JSON whatever their type says; what is not JSON gets 422 and no detail. */
function parseJson(): express.RequestHandler {
  const parse = express.json({ limit: BODY_BYTES, type: () => true });
  return (req, res: Response, next) => {
    parse(req, res, (error?: unknown) => {
      const isSyntax = (error as { type?: string } | undefined)?.type === "entity.parse.failed";
      next(isSyntax ? new HttpRefusal(422, "") : error);
    });
  };
}
