/**
 * Asks a model hub for files: addresses, metadata, redirects, refusals in words.
 * Source: the hub's `resolve` addresses and its headers x-linked-size, x-linked-etag, x-repo-commit and x-error-code.
 */
import { CodedError } from "../../src/domain/errors.ts";
import { parseSha256, type Sha256 } from "../../src/domain/hash.ts";
import type { HubSource } from "./catalogue.ts";
import { printable } from "../../src/gguf/header-cursor.ts";

const PUBLIC_HUB = "https://huggingface.co";
const MAX_REDIRECTS = 10;
/** Ten times the largest single model file that is published today. */
const MAX_FILE_BYTES = 2 ** 42;

export interface Hub {
  readonly endpoint: URL;
  /** Sent to the endpoint's own origin only, never where it redirects to. */
  readonly token: string | undefined;
}

/** What the hub says of a file before it is fetched. */
export interface HubFile {
  /** Fixed to a commit where the hub names one, so that it keeps meaning the same bytes. */
  readonly url: URL;
  readonly bytes: number;
  readonly etag: string | undefined;
  /** Undefined for a hub or a mirror that does not tell. */
  readonly sha256: Sha256 | undefined;
  readonly commit: string | undefined;
}

/** A failure that may pass: of the connection, or of a busy server. */
export class PassingFailure extends Error {
  override readonly name = "PassingFailure";
  readonly retryAfterMs: number | undefined;

  constructor(message: string, retryAfterMs?: number, options?: ErrorOptions) {
    super(message, options);
    this.retryAfterMs = retryAfterMs;
  }
}

/** HF_ENDPOINT names a mirror, HF_TOKEN an account. Errors: `config_invalid`. */
export function hubFrom(environment: Readonly<Record<string, string | undefined>>): Hub {
  const configured = environment["HF_ENDPOINT"]?.trim();
  const text = configured === undefined || configured === "" ? PUBLIC_HUB : configured;
  const endpoint = URL.canParse(text) ? new URL(text) : undefined;
  if (endpoint === undefined || !/^https?:$/.test(endpoint.protocol) || endpoint.username !== "" || endpoint.password) {
    throw new CodedError("config_invalid", "HF_ENDPOINT must be an address such as https://huggingface.co");
  }
  const token = environment["HF_TOKEN"]?.trim();
  return { endpoint, token: token === undefined || token === "" ? undefined : token };
}

/** Errors: `download_failed`, PassingFailure. */
export async function lookUp(hub: Hub, source: HubSource, signal: AbortSignal): Promise<HubFile> {
  const response = await request(hub, "HEAD", fileUrl(hub, source, source.revision ?? "main"), {}, signal);
  await response.body?.cancel();
  // A redirect out of the hub is as good as a success: it came with the linked file's size and hash.
  if (!response.ok && !isLinked(response)) throw refusalOf(response, hub, source);

  const bytes = Number(response.headers.get("x-linked-size") ?? response.headers.get("content-length") ?? "none");
  if (!Number.isSafeInteger(bytes) || bytes <= 0 || bytes > MAX_FILE_BYTES) {
    throw new CodedError("download_failed", `${hostOf(response, hub)} does not say how large ${source.file} is.`);
  }
  const linkedEtag = response.headers.get("x-linked-etag") ?? undefined;
  const commit = /^[0-9a-f]{40}$/.exec(response.headers.get("x-repo-commit") ?? "")?.[0];
  return {
    url: fileUrl(hub, source, commit ?? source.revision ?? "main"),
    bytes,
    etag: linkedEtag ?? response.headers.get("etag") ?? undefined,
    sha256: sha256Of(linkedEtag),
    commit,
  };
}

/**
 * Opens a file from `fromByte` on. The answer may also be the whole file (200), or that it has no such bytes (416).
 * Errors: `download_failed`, PassingFailure.
 */
export async function openFile(
  hub: Hub,
  source: HubSource,
  url: URL,
  fromByte: number,
  signal: AbortSignal,
): Promise<Response> {
  const response = await request(hub, "GET", url, fromByte > 0 ? { range: `bytes=${fromByte}-` } : {}, signal);
  if (response.ok || (response.status === 416 && fromByte > 0)) return response;
  await response.body?.cancel();
  throw refusalOf(response, hub, source);
}

function fileUrl(hub: Hub, { owner, repository, file }: HubSource, revision: string): URL {
  const parts = [owner, repository, "resolve", revision, ...file.split("/")].map(encodeURIComponent);
  return new URL(`${hub.endpoint.href.replace(/\/+$/, "")}/${parts.join("/")}`);
}

/** Follows redirects itself, because the token must stay behind when they leave the hub. */
async function request(
  hub: Hub,
  method: "GET" | "HEAD",
  start: URL,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Response> {
  let url = start;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const ofHub = url.origin === hub.endpoint.origin;
    const response = await fetchOnce(url, {
      method,
      redirect: "manual",
      signal,
      headers: {
        "user-agent": "pinference",
        "accept-encoding": "identity",
        ...headers,
        ...(ofHub && hub.token !== undefined ? { authorization: `Bearer ${hub.token}` } : {}),
      },
    });
    const location = response.headers.get("location");
    if (response.status < 301 || response.status > 308 || location === null) return response;
    if (method === "HEAD" && isLinked(response)) return response;
    await response.body?.cancel();
    const next = URL.canParse(location, url.href) ? new URL(location, url) : undefined;
    if (next === undefined || (next.protocol !== "https:" && next.protocol !== url.protocol)) {
      throw new CodedError("download_failed", `${url.host} redirects to an address that is not safe to follow.`);
    }
    url = next;
  }
  throw new CodedError("download_failed", `${start.host} redirects more than ${MAX_REDIRECTS} times.`);
}

async function fetchOnce(url: URL, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (error) {
    if (init.signal?.aborted === true) throw error;
    throw new PassingFailure(`${url.host} could not be reached${reasonOf(error)}`, undefined, { cause: error });
  }
}

/** In brackets, the system's short name of what went wrong; fetch itself says only that it failed. */
export function reasonOf(error: unknown): string {
  const cause = (error as { cause?: { code?: unknown } }).cause;
  return typeof cause?.code === "string" ? ` (${cause.code})` : "";
}

function isLinked(response: Response): boolean {
  return response.headers.has("x-linked-size") && response.headers.has("x-linked-etag");
}

/** The hub's tag of a linked file is its sha256. An ordinary tag may be anything, even where it looks like one. */
function sha256Of(linkedEtag: string | undefined): Sha256 | undefined {
  const bare = /^"?([0-9a-f]{64})"?$/.exec(linkedEtag ?? "")?.[1];
  return bare === undefined ? undefined : parseSha256(bare);
}

function refusalOf(response: Response, hub: Hub, source: HubSource): Error {
  const { status } = response;
  const host = hostOf(response, hub);
  if (status === 408 || status === 429 || status >= 500) {
    return new PassingFailure(
      `${host} answered ${status}${status === 429 ? " (too many requests)" : ""}`,
      askedDelayMs(response),
    );
  }
  if (response.url !== "" && new URL(response.url).origin !== hub.endpoint.origin) {
    return new CodedError(
      "download_failed",
      `${host}, where the hub keeps this file, answered ${status}. Try again later.`,
    );
  }
  const repository = `${source.owner}/${source.repository}`;
  const page = `${hub.endpoint.origin}/${repository}`;
  const error = response.headers.get("x-error-code");
  const refuse = (sentence: string) => new CodedError("download_failed", `${host} answered ${status}: ${sentence}`);
  if (error === "GatedRepo" || status === 403) {
    return refuse(
      `${repository} is open only to accounts that have accepted its terms. Accept them at ${page} and set HF_TOKEN.`,
    );
  }
  if (error === "RevisionNotFound") return refuse(`${repository} has no revision ${source.revision ?? "main"}.`);
  if (status === 401) {
    return hub.token === undefined
      ? refuse(`it shows no repository ${repository} without an account. Check the name, or set HF_TOKEN.`)
      : refuse(`it does not accept HF_TOKEN for ${repository}. Check the name and the token.`);
  }
  if (error === "RepoNotFound") return refuse(`there is no repository ${repository}. Check the name.`);
  if (status === 404 || status === 410) {
    const revision = source.revision ?? "main";
    return refuse(`there is no file ${source.file}. The files are listed at ${page}/tree/${revision}.`);
  }
  const explained = response.headers.get("x-error-message");
  return refuse(explained === null ? "it does not give the file." : printable(explained, 200));
}

function hostOf(response: Response, hub: Hub): string {
  return response.url === "" ? hub.endpoint.host : new URL(response.url).host;
}

/** Seconds or a date. Source: RFC 9110, section 10.2.3. */
function askedDelayMs(response: Response): number | undefined {
  const text = response.headers.get("retry-after")?.trim();
  if (text === undefined || text === "") return undefined;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}
