/** Prices, balances and aggregates. Source: pyaleph 0.10, web/controllers/{prices,accounts,aggregates}.py. */
import express, { Router } from "express";
import * as z from "zod";

import { parseItemHash } from "../../../src/domain/hash.ts";
import { readContent } from "../../messages/contents.ts";
import { hashItemContent } from "../../messages/envelope.ts";
import { costOf, toDecimal, toPriceAnswer, type SizeOf } from "../costs.ts";
import { HttpRefusal, refusal } from "../http-refusal.ts";
import type { JsonObject } from "../message-store.ts";
import { readAggregates } from "../permissions.ts";
import { parseItem } from "../processor.ts";
import { INVALID_FORMAT } from "./messages.ts";
import type { NodeParts } from "./node-parts.ts";

const MIB = 1_048_576;
const estimateRequest = z.object({
  message: z.object({ type: z.string(), item_hash: z.string(), item_content: z.string() }),
});

export function accountRoutes({ messages, accounts }: NodeParts): Router {
  const router = Router();

  router.post("/price/estimate", express.json({ limit: MIB, type: () => true }), async (req, res) => {
    const request = estimateRequest.safeParse(req.body);
    if (!request.success) throw new HttpRefusal(422, JSON.stringify(request.error.issues));
    const { type, item_hash: hash, item_content: text } = request.data.message;
    const item = parseItem(text);
    if (item === undefined || hashItemContent(text) !== hash) throw INVALID_FORMAT;
    const sizes = new Map<string, number>();
    const result = readContent(type, withoutEstimates(item.content, sizes));
    if (!result.ok) throw INVALID_FORMAT;
    const sizeOf: SizeOf = async (name) => sizes.get(name) ?? accounts.sizeOf(name);
    const cost = await costOf(result.read, sizeOf);
    if (cost === undefined) throw refusal(404, `${type} messages are free`);
    res.json(toPriceAnswer(cost, false));
  });

  router.get("/price/:hash", async (req, res) => {
    const record = messages.get(parseItemHash(req.params.hash));
    if (record?.status === "forgotten") throw refusal(410, "the message was forgotten");
    // The network answers 102 here, which clients take for an interim answer and wait on; 202 says the same and ends.
    if (record?.status === "pending") throw refusal(202, "the message is still pending");
    if (record?.status !== "processed") throw refusal(404, "no processed message with this hash");
    const result = readContent(record.envelope.type, record.item.content);
    const cost = result.ok ? await costOf(result.read, accounts.sizeOf) : undefined;
    if (cost === undefined) throw refusal(404, `${record.envelope.type} messages are free`);
    res.json(toPriceAnswer(cost, req.query["include_size"] === "true"));
  });

  router.get("/addresses/:address/balance", async (req, res) => {
    const { aleph, credits } = accounts.balance;
    res.json({
      address: req.params.address,
      balance: aleph,
      details: aleph === 0 ? {} : { ETH: aleph },
      locked_amount: Number(toDecimal(await accounts.locked(req.params.address))),
      credit_balance: credits,
      credit_balance_details: null,
    });
  });

  router.get("/aggregates/:file", (req, res) => {
    const address = req.params.file.replace(/\.json$/, "");
    const all = readAggregates(messages, address);
    const keys = typeof req.query["keys"] === "string" ? req.query["keys"].split(",") : Object.keys(all);
    const data = Object.fromEntries(Object.entries(all).filter(([key]) => keys.includes(key)));
    const [first] = Object.values(data);
    if (first === undefined) throw refusal(404, "no aggregate of this address with these keys");
    res.json(req.query["value_only"] === "true" && keys.length === 1 ? first : { address, data, info: {} });
  });

  return router;
}

/** Takes `estimated_size_mib` out of a content, which no schema of a real message knows. */
function withoutEstimates(value: unknown, sizes: Map<string, number>): unknown {
  if (Array.isArray(value)) return value.map((item) => withoutEstimates(item, sizes));
  if (typeof value !== "object" || value === null) return value;
  const { estimated_size_mib: mib, ...rest } = value as JsonObject;
  const hash = rest["ref"] ?? rest["item_hash"];
  if (typeof mib === "number" && typeof hash === "string") sizes.set(hash, mib * MIB);
  return Object.fromEntries(Object.entries(rest).map(([key, item]) => [key, withoutEstimates(item, sizes)]));
}
