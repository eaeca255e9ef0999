import type { RequestHandler } from "express";

import type { Engine } from "../../domain/engine.ts";
import { CodedError } from "../../domain/errors.ts";
import type { ModelDefaults } from "../../domain/model-defaults.ts";
import { invalidValue } from "../../openai/refusal.ts";
import { toSlots } from "../../openai/slots.ts";
import { toProps } from "../../openai/status.ts";
import { queryOf } from "../query.ts";
import type { ServerMetrics } from "../metrics/server-metrics.ts";

/** GET /props */
export function props(engine: Engine, defaults: ModelDefaults): RequestHandler {
  return (_req, res) => {
    res.json(toProps(engine.model, engine.status().slots.length, defaults));
  };
}

/** POST /props: nothing of it can be changed while the server runs. */
export const changeProps: RequestHandler = () => {
  throw new CodedError("not_supported", "The server's properties cannot be changed while it runs.");
};

/** GET /slots. With `?fail_on_no_slot=1` a server whose slots are all busy says so by its status. */
export function slots(engine: Engine): RequestHandler {
  return (req, res) => {
    const status = engine.status();
    const wantsFree = queryOf(req.url).get("fail_on_no_slot") === "1";
    if (wantsFree && status.slots.every(({ busy }) => busy)) {
      throw new CodedError("no_free_slot", "All slots are busy.");
    }
    res.json(toSlots(status.slots, engine.model.contextLength));
  };
}

const SLOT_ACTIONS = ["save", "restore", "erase"];

/**
 * POST /slots/{id}?action=erase: the slot forgets what it holds, once it is free.
 * Errors: `invalid_value` for another slot or action, `not_supported` for saving and restoring.
 */
export function changeSlot(engine: Engine): RequestHandler<{ id: string }> {
  return async (req, res) => {
    const action = queryOf(req.url).get("action");
    if (action === null || !SLOT_ACTIONS.includes(action)) {
      const given = action === null ? "nothing" : JSON.stringify(action.slice(0, 100));
      throw invalidValue("action", `one of ${SLOT_ACTIONS.join(", ")}, got ${given}`);
    }
    const { id } = req.params;
    if (!/^\d{1,9}$/.test(id))
      throw invalidValue("id", `the number of a slot, got ${JSON.stringify(id.slice(0, 100))}`);
    if (action !== "erase") {
      throw new CodedError(
        "not_supported",
        `Slots cannot ${action} what they hold: a program has no place to keep it.`,
      );
    }
    res.json({ id_slot: Number(id), n_erased: await engine.eraseSlot(Number(id)) });
  };
}

/** GET /metrics. Never waits: a server that still loads has metrics too. */
export function metricsPage(metrics: ServerMetrics): RequestHandler {
  return (_req, res) => {
    // Express would add a charset.
    res.setHeader("Content-Type", "text/plain; version=0.0.4");
    res.end(metrics.render());
  };
}

/** GET /lora-adapters: none is ever loaded. */
export const loraAdapters: RequestHandler = (_req, res) => {
  res.json([]);
};
