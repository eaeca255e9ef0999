import type { RejectionCode } from "../messages/rejections.ts";

/** Ends the processing of a message. `retry`: what is missing may still come, so the message stays pending. */
export class Rejection extends Error {
  readonly code: RejectionCode;
  readonly details: unknown;
  readonly retry: boolean;

  constructor(code: RejectionCode, details: unknown = null, options: { readonly retry?: boolean } = {}) {
    super(`rejected with ${code}`);
    this.code = code;
    this.details = details;
    this.retry = options.retry ?? false;
  }
}
