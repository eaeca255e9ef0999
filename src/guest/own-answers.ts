/** Answers that the guest gives in the server's stead, in the server's shape. */
import { type CodedError } from "../domain/errors.ts";
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
    body: Buffer.from(JSON.stringify({ error: { message: error.message, type, param: null, code: error.code } })),
  };
}
