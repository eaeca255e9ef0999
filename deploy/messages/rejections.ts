/** Why the network rejects a message: its numbers and names. Source: pyaleph 0.10, types/message_status.py. */
const NAMES = {
  [-1]: "INTERNAL_ERROR",
  0: "INVALID_FORMAT",
  1: "INVALID_SIGNATURE",
  2: "PERMISSION_DENIED",
  3: "CONTENT_UNAVAILABLE",
  4: "FILE_UNAVAILABLE",
  5: "BALANCE_INSUFFICIENT",
  6: "CREDIT_INSUFFICIENT",
  100: "POST_AMEND_NO_TARGET",
  101: "POST_AMEND_TARGET_NOT_FOUND",
  102: "POST_AMEND_AMEND",
  200: "STORE_REF_NOT_FOUND",
  201: "STORE_UPDATE_UPDATE",
  202: "INVALID_PAYMENT_METHOD",
  300: "VM_REF_NOT_FOUND",
  301: "VM_VOLUME_NOT_FOUND",
  302: "VM_AMEND_NOT_ALLOWED",
  303: "VM_UPDATE_UPDATE",
  304: "VM_VOLUME_TOO_SMALL",
  500: "FORGET_NO_TARGET",
  501: "FORGET_TARGET_NOT_FOUND",
  502: "FORGET_FORGET",
  503: "FORGET_NOT_ALLOWED",
  504: "FORGOTTEN_DUPLICATE",
} as const satisfies Record<number, string>;

export type RejectionCode = keyof typeof NAMES;

export const REJECTION_CODES = Object.keys(NAMES)
  .map(Number)
  .toSorted((a, b) => a - b) as readonly RejectionCode[];

/** What they lack may still come: the network tries again for minutes before it rejects. */
export const RETRIED_CODES: ReadonlySet<RejectionCode> = new Set([-1, 3, 4, 101, 200, 300, 301, 501]);

/** The message itself is at fault, so that the same one would be rejected again whatever its owner does. */
export const SPENT_CODES: ReadonlySet<number> = new Set<RejectionCode>([
  0, 1, 100, 102, 201, 202, 300, 302, 303, 304, 500, 502, 504,
]);

export function rejectionName(code: number): string {
  return (NAMES as Readonly<Record<number, string>>)[code] ?? `ERROR_${code}`;
}
