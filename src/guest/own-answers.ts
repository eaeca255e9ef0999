/** Answers that the guest gives in the server's stead, in the server's shape. */
import { CodedError } from "../domain/errors.ts";
import type { ServerAnswer } from "./forward.ts";

export interface OwnAnswer {
  readonly status: number;
  readonly error: CodedError;
  /** When it is worth to ask again. */
  readonly retryAfterS?: number | undefined;
}

/** A reason not to have an answer of the server. */
export class NoAnswer extends Error {
  override readonly name = "NoAnswer";
  readonly answer: OwnAnswer;

  constructor(answer: OwnAnswer, options?: ErrorOptions) {
    super(answer.error.message, options);
    this.answer = answer;
  }
}

/** What stands between a program's start and its answers, in this order; then the server tells of the model's loading. */
export type Phase = "configuration" | "code_check" | "server_start" | "model_check";

/** To come again. `part` is of the phase, from 0 to 1, where it is known. */
export function stillStarting(phase: Phase, what: string, retryAfterS: number, part?: number): NoAnswer {
  const percent = part === undefined ? "" : ` (${Math.floor(100 * part)} %)`;
  const progress = part === undefined ? {} : { progress: Math.round(100 * part) / 100 };
  const error = new CodedError("model_loading", `${what}${percent}.`, { details: { phase, ...progress } });
  return new NoAnswer({ status: 503, error, retryAfterS });
}

export function toServerAnswer({ status, error, retryAfterS }: OwnAnswer): ServerAnswer {
  const type = status < 500 ? "invalid_request_error" : "server_error";
  return {
    status,
    headers: [
      ["content-type", "application/json; charset=utf-8"],
      // Without it a browser hides the answer from its page, and there is nothing in it to hide.
      ["access-control-allow-origin", "*"],
      ...(retryAfterS === undefined ? [] : [["retry-after", String(retryAfterS)] as const]),
    ],
    body: Buffer.from(
      JSON.stringify({ error: { ...error.details, message: error.message, type, param: null, code: error.code } }),
    ),
  };
}
