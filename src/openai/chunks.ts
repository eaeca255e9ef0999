import type { ErrorBody } from "./error-envelope.ts";

/** The last event of a stream that succeeded. */
export const DONE_EVENT = "data: [DONE]\n\n";

export function toErrorEvent(body: ErrorBody): string {
  return `data: ${JSON.stringify(body)}\n\n`;
}
