import { CodedError, type ErrorCode } from "../domain/errors.ts";

export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
    readonly [detail: string]: string | number | null;
  };
}

export interface ErrorAnswer {
  readonly status: number;
  /** For the header of the same name, with 429 and 503. */
  readonly retryAfterSeconds: number | undefined;
  readonly body: ErrorBody;
}

interface Kind {
  readonly status: number;
  readonly type: string;
  readonly retryAfterSeconds?: number;
}

const INVALID = "invalid_request_error";
const badRequest: Kind = { status: 400, type: INVALID };

/** Codes that are not here are faults of this side: they tell the client nothing but that. */
const KINDS: Partial<Record<ErrorCode, Kind>> = {
  invalid_json: badRequest,
  invalid_type: badRequest,
  invalid_value: badRequest,
  missing_required_parameter: badRequest,
  unsupported_value: badRequest,
  unsupported_parameter: badRequest,
  invalid_json_schema: badRequest,
  invalid_grammar: badRequest,
  context_length_exceeded: { status: 400, type: "exceed_context_size_error" },
  invalid_api_key: { status: 401, type: INVALID },
  model_not_found: { status: 404, type: INVALID },
  not_found: { status: 404, type: INVALID },
  forbidden: { status: 403, type: INVALID },
  method_not_allowed: { status: 405, type: INVALID },
  request_too_large: { status: 413, type: INVALID },
  unsupported_media_type: { status: 415, type: INVALID },
  rate_limit_exceeded: { status: 429, type: "rate_limit_error", retryAfterSeconds: 2 },
  // Nobody reads this answer; logs do.
  client_left: { status: 499, type: INVALID },
  not_supported: { status: 501, type: "not_supported_error" },
  no_free_slot: { status: 503, type: "unavailable_error", retryAfterSeconds: 2 },
  model_loading: { status: 503, type: "unavailable_error", retryAfterSeconds: 5 },
  shutting_down: { status: 503, type: "unavailable_error", retryAfterSeconds: 5 },
};

const FAULT: ErrorAnswer = {
  status: 500,
  retryAfterSeconds: undefined,
  body: {
    error: { message: "The server failed to answer this request.", type: "server_error", param: null, code: null },
  },
};
const LOAD_FAULT = "The model could not be loaded, so no request can be answered.";

export function toErrorAnswer(error: unknown): ErrorAnswer {
  if (!(error instanceof CodedError)) return FAULT;
  const kind = KINDS[error.code];
  if (kind === undefined) {
    // These messages are meant for the operator and may name files.
    if (!error.code.startsWith("model_")) return FAULT;
    const message = `${LOAD_FAULT} ${whyNotLoaded(error)}`;
    return { ...FAULT, body: { error: { ...FAULT.body.error, message } } };
  }
  return {
    status: kind.status,
    retryAfterSeconds: kind.retryAfterSeconds,
    body: {
      error: {
        ...error.details,
        message: error.message,
        type: kind.type,
        param: error.param ?? null,
        code: error.code,
      },
    },
  };
}

/** A server's log may be out of its publisher's sight; settings that do not fit the machine are numbers only. */
function whyNotLoaded({ cause }: CodedError): string {
  if (cause instanceof CodedError && cause.code === "config_invalid") {
    return `${cause.message.charAt(0).toUpperCase()}${cause.message.slice(1)}.`;
  }
  return "The server's log has the reason.";
}
