/** Faults in prices and balances. */
import type { RequestHandler } from "express";

import { HttpRefusal } from "../http-refusal.ts";
import { alterAnswer, isOne } from "./alter-answer.ts";
import type { FaultName } from "./fault-table.ts";
import type { Faults } from "./faults.ts";

/** Below /api/v0, before the routes. */
export function accountFaults(faults: Faults): RequestHandler {
  return (req, res, next) => {
    if (req.path === "/price/estimate") {
      refuse(faults, "estimate-status");
      if (faults.take("estimate-garbled")) alterAnswer(res, () => ({ required_tokens: "a few" }));
    } else if (isOne(req.path, "/price/")) {
      refuse(faults, "price-status");
    } else if (/^\/addresses\/[^/]+\/balance$/.test(req.path)) {
      refuse(faults, "balance-status");
      const credits = faults.take("balance");
      if (credits !== undefined) alterAnswer(res, (body) => ({ ...(body as object), credit_balance: credits }));
    }
    next();
  };
}

/** Errors: `HttpRefusal`. */
function refuse(faults: Faults, name: Extract<FaultName, `${string}-status`>): void {
  const status = faults.take(name);
  if (typeof status === "number") throw new HttpRefusal(status, "");
}
