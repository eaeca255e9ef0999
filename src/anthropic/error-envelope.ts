import { toErrorAnswer } from "../openai/error-envelope.ts";

/** Anthropic's names of the statuses; others are faults of this side. */
const TYPES: Readonly<Record<number, string>> = {
  400: "invalid_request_error",
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  405: "invalid_request_error",
  413: "request_too_large",
  415: "invalid_request_error",
  429: "rate_limit_error",
  501: "invalid_request_error",
  503: "overloaded_error",
};

interface MessageErrorDetails {
  readonly error_code: string;
}

export interface MessageErrorBody {
  readonly type: "error";
  readonly error: { readonly type: string; readonly message: string; readonly details?: MessageErrorDetails };
  readonly request_id: string;
}

/** Where Anthropic's clients know what to do: without threads, their tool runner sends whole conversations. */
const NO_THREADS: MessageErrorDetails = { error_code: "thread_unsupported_request" };

/** An error as Anthropic's clients read it; what it adds to the status is the message, which names the parameter. */
export function toMessageError(error: unknown, requestId: string): MessageErrorBody {
  const { status, body } = toErrorAnswer(error);
  const { message, param } = body.error;
  const type = TYPES[status] ?? "api_error";
  const details = param === "thread" && { details: NO_THREADS };
  return { type: "error", error: { type, message, ...details }, request_id: requestId };
}
