import type { ErrorRequestHandler } from "express";

import { CodedError } from "../../src/domain/errors.ts";
import { TooManyBytes } from "./content-store.ts";

/** An answer that ends a request. Some texts are the network's own, and clients compare them: those go as they are. */
export class HttpRefusal extends Error {
  readonly status: number;
  readonly body: string | object;

  constructor(status: number, body: string | object) {
    super(typeof body === "string" ? body : JSON.stringify(body));
    this.status = status;
    this.body = body;
  }
}

export function refusal(status: number, message: string): HttpRefusal {
  return new HttpRefusal(status, { status: "error", message });
}

/** The last middleware: every failure has an answer, and none shows a stack. */
export const answerErrors: ErrorRequestHandler = (error: unknown, _req, res, next) => {
  if (res.headersSent) {
    next(error);
    return;
  }
  const { status, body } = toRefusal(error);
  if (typeof body === "string") res.status(status).type("text/plain").send(body);
  else res.status(status).json(body);
};

function toRefusal(error: unknown): HttpRefusal {
  if (error instanceof HttpRefusal) return error;
  if (error instanceof TooManyBytes) return refusal(413, "the file is larger than this route takes");
  if (error instanceof CodedError) {
    if (error.code === "hash_malformed") return refusal(400, error.message);
    if (error.code === "disk_full") return refusal(507, error.message);
    return refusal(500, error.message);
  }
  // Express and its body parser name their own failures: too large, not JSON, a bad percent escape.
  const { status } = error as { status?: unknown };
  if (typeof status === "number" && status >= 400 && status < 500) return refusal(status, (error as Error).message);
  return refusal(500, "internal error");
}
