/**
 * The translation between the supervisor's request and answer, and HTTP to the server. Pure: the sockets are elsewhere.
 *
 * The supervisor hands over a decoded path and query, a whole body, and headers that describe an older form of it.
 * Source: aleph-vm, orchestrator/run.py, as observed with aiohttp 3.14 and yarl 1.25.
 */

/** Names and values in the order they came; duplicates are kept. */
export type HeaderList = readonly (readonly [name: string, value: string])[];

export interface ServerAnswer {
  readonly status: number;
  readonly headers: HeaderList;
  readonly body: Uint8Array;
}

/** Headers of one connection, never of a message. Source: RFC 9110, 7.6.1. */
export const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

// The body arrives de-chunked and decompressed; these describe how it travelled before. `expect` has been answered.
const STALE_IN_REQUEST: ReadonlySet<string> = new Set([...HOP_BY_HOP, "content-length", "content-encoding", "expect"]);

// `date` is set by the supervisor, and it removes `content-encoding` whatever the body is.
const STALE_IN_ANSWER: ReadonlySet<string> = new Set([...HOP_BY_HOP, "content-length", "content-encoding", "date"]);

const WITHOUT_BODY: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "DELETE", "TRACE"]);

/**
 * The target of the request line: what a decoded `?`, `#`, space, `%` or letter meant is kept by encoding it again.
 * An escape that is still whole in the query was kept by the supervisor on purpose (`&`, `=`, `+` and `;`).
 */
export function toRequestTarget(path: string, queryString: string): string {
  const encodedPath = path.replace(/[^A-Za-z0-9\-._~!$&'()*+,;=:@/]+/g, percentEncode);
  const target = encodedPath.startsWith("/") ? encodedPath : `/${encodedPath}`;
  if (queryString === "") return target;
  const encodedQuery = queryString.replace(/[^\x21-\x7e]+|[#"<>]|%(?![0-9A-Fa-f]{2})/g, percentEncode);
  return `${target}?${encodedQuery}`;
}

/** Headers for the server: stale ones dropped, the length that of the body in hand. */
export function toServerHeaders(method: string, headers: HeaderList, bodyBytes: number): HeaderList {
  const kept = withoutHeaders(headers, STALE_IN_REQUEST);
  if (bodyBytes === 0 && WITHOUT_BODY.has(method)) return kept;
  return [...kept, ["content-length", String(bodyBytes)]];
}

/**
 * The answer for the supervisor. A 404 would reach the client as a string inside another error, without its headers,
 * so it leaves as 400 with the same body.
 */
export function toForwardedAnswer(method: string, answer: ServerAnswer): ServerAnswer {
  const headers = withoutHeaders(answer.headers, STALE_IN_ANSWER);
  const length = contentLength(method, answer);
  return {
    status: answer.status === 404 ? 400 : answer.status,
    headers: length === undefined ? headers : [...headers, ["content-length", length]],
    body: answer.body,
  };
}

/** Drops the given lower-case names, and those that `Connection` nominates. */
export function withoutHeaders(headers: HeaderList, names: ReadonlySet<string>): HeaderList {
  const nominated = new Set(
    headers
      .filter(([name]) => name.toLowerCase() === "connection")
      .flatMap(([, value]) => value.split(",").map((token) => token.trim().toLowerCase())),
  );
  return headers.filter(([name]) => {
    const lower = name.toLowerCase();
    return !names.has(lower) && !nominated.has(lower);
  });
}

/** An answer to HEAD speaks of a body that is not sent; 204 and 304 have none to speak of. */
function contentLength(method: string, { status, headers, body }: ServerAnswer): string | undefined {
  if (status === 204 || status === 304) return undefined;
  if (method !== "HEAD") return String(body.byteLength);
  return headers.find(([name]) => name.toLowerCase() === "content-length")?.[1];
}

/** Byte by byte, so that half of a surrogate pair becomes U+FFFD where encodeURIComponent would throw. */
function percentEncode(text: string): string {
  return Buffer.from(text, "utf8")
    .toString("hex")
    .toUpperCase()
    .replace(/../g, (byte) => `%${byte}`);
}
