/**
 * Every way this product refuses, and who has to act.
 * HTTP statuses belong to openai/error-envelope.ts, exit codes to deploy/cli.ts.
 */
const BLAME = {
  // requests
  invalid_json: "caller",
  invalid_type: "caller",
  invalid_value: "caller",
  missing_required_parameter: "caller",
  unsupported_value: "caller",
  unsupported_parameter: "caller",
  context_length_exceeded: "caller",
  invalid_json_schema: "caller",
  invalid_grammar: "caller",
  invalid_api_key: "caller",
  model_not_found: "caller",
  not_found: "caller",
  method_not_allowed: "caller",
  forbidden: "caller",
  request_too_large: "caller",
  unsupported_media_type: "caller",
  rate_limit_exceeded: "load",
  no_free_slot: "load",
  model_loading: "load",
  shutting_down: "load",
  client_left: "caller",
  // hashes and messages
  hash_malformed: "caller",
  message_invalid: "operator",
  message_rejected: "network",
  network_unreachable: "network",
  network_refused: "network",
  balance_insufficient: "operator",
  // models and images
  model_file_missing: "operator",
  model_file_invalid: "operator",
  model_load_failed: "operator",
  catalogue_unknown: "operator",
  download_failed: "network",
  hash_mismatch: "network",
  image_not_squashfs: "operator",
  image_invalid: "operator",
  image_plan_invalid: "operator",
  // the machine
  config_invalid: "operator",
  data_directory: "operator",
  disk_full: "operator",
  port_in_use: "operator",
  key_invalid: "operator",
  already_running: "operator",
  program_failed: "operator",
  not_supported: "operator",
  interrupted: "caller",
  usage: "operator",
} as const satisfies Record<string, "caller" | "load" | "operator" | "network">;

export type ErrorCode = keyof typeof BLAME;
export type Blame = (typeof BLAME)[ErrorCode];
/** What commands end with: their operator, or the network, has to act. */
export type OperatorCode = {
  [Code in ErrorCode]: (typeof BLAME)[Code] extends "operator" | "network" ? Code : never;
}[ErrorCode];

export interface CodedErrorOptions extends ErrorOptions {
  /** The request member at fault, as `messages[1].role`. */
  readonly param?: string;
  /** Extra members for the wire, such as `n_ctx`. Never secrets. */
  readonly details?: Readonly<Record<string, number | string>>;
}

/** An error whose message is meant for the person named by its code's blame. */
export class CodedError extends Error {
  override readonly name = "CodedError";
  readonly code: ErrorCode;
  readonly param: string | undefined;
  readonly details: Readonly<Record<string, number | string>>;

  constructor(code: ErrorCode, message: string, options: CodedErrorOptions = {}) {
    super(message, options);
    this.code = code;
    this.param = options.param;
    this.details = options.details ?? {};
  }

  get blame(): Blame {
    return BLAME[this.code];
  }
}
