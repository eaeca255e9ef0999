/** Requests to the server beside this page. All paths are relative, so that they hold under any prefix. */
import { sharesOrigin } from "./address.ts";

export interface About {
  readonly status: "loading" | "ready" | "failed";
  /** From 0 to 1. */
  readonly progress: number;
  readonly requires_key: boolean;
  readonly model: ModelFacts | null;
  readonly volumes: readonly { readonly kind: "code" | "model"; readonly sha256: string }[];
}

export interface ModelFacts {
  readonly id: string;
  readonly aliases: readonly string[];
  readonly licence: string | null;
  readonly quantization: string;
  readonly parameters: number;
  readonly bytes: number;
  readonly context_length: number;
  readonly trained_context_length: number;
  readonly file_name: string;
  readonly fingerprint: string;
  readonly slots: number;
  readonly supports_tools: boolean;
}

/** An answer that is none, in words for whoever sits at the page. */
export class RequestError extends Error {
  override readonly name = "RequestError";
  /** 0: nothing came back. */
  readonly status: number;
  readonly code: string | undefined;
  /** Of the loading model, where the server tells it. */
  readonly progress: number | undefined;

  constructor(message: string, { status = 0, code, progress }: ErrorFacts = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.progress = progress;
  }

  /** Whether the same request may succeed in a while. */
  get isPassing(): boolean {
    return [0, 429, 502, 503, 504].includes(this.status);
  }
}

interface ErrorFacts {
  readonly status?: number;
  readonly code?: string | undefined;
  readonly progress?: number | undefined;
}

export interface AskOptions {
  readonly method?: "GET" | "POST";
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

/** Errors: a `RequestError`; the signal's reason. */
export async function ask(path: string, { method, body, signal }: AskOptions = {}): Promise<Response> {
  const key = apiKey.read();
  let response: Response;
  try {
    response = await fetch(path, {
      method: method ?? (body === undefined ? "GET" : "POST"),
      headers: {
        Accept: "application/json, text/event-stream",
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        ...(key === "" ? {} : { Authorization: `Bearer ${key}` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    if (signal?.aborted === true) throw error;
    throw new RequestError("The server cannot be reached. Is it running, and is this machine online?");
  }
  if (!response.ok) throw await toError(response);
  return response;
}

/** Errors: a `RequestError`; the signal's reason. */
export async function askJson<Answer>(path: string, options: AskOptions = {}): Promise<Answer> {
  const response = await ask(path, options);
  try {
    return (await response.json()) as Answer;
  } catch (error) {
    if (options.signal?.aborted === true) throw error;
    throw new RequestError("The server's answer is not JSON.", { status: response.status });
  }
}

/** Hosts answer with error objects of their own, with plain text, with pages, or with nothing. */
async function toError(response: Response): Promise<RequestError> {
  const { status } = response;
  const text = await response.text().catch(() => "");
  return readError(text, status);
}

export function readError(text: string, status: number): RequestError {
  let error: unknown;
  try {
    error = (JSON.parse(text) as { error?: unknown }).error;
    // A supervisor wraps the body of a 404 into a string.
    if (typeof error === "string" && error.startsWith("{")) error = (JSON.parse(error) as { error?: unknown }).error;
  } catch {
    // No JSON: the status has to do.
  }
  if (typeof error === "string" && error !== "") return new RequestError(error, { status });
  if (typeof error === "object" && error !== null) {
    const { message, code, progress } = error as { message?: unknown; code?: unknown; progress?: unknown };
    return new RequestError(typeof message === "string" ? message : `The server refused with status ${status}.`, {
      status,
      code: typeof code === "string" ? code : undefined,
      progress: typeof progress === "number" ? progress : undefined,
    });
  }
  return new RequestError(STATUSES[status] ?? `The host answered with status ${status} and no explanation.`, {
    status,
  });
}

const STATUSES: Readonly<Record<number, string>> = {
  413: "The conversation is too long for this host: it takes 1 MiB at most. Start a new chat.",
  502: "The host got no answer from the program. It may have been restarted; try again.",
  504: "The host gave up before the answer was complete.",
};

const KEY_NAME = "pinference:key";
let keyInMemory = "";

/** Kept until the tab closes; where other programs' pages could read it, until the page does. */
export const apiKey = {
  read(): string {
    if (keyInMemory !== "" || sharesOrigin(location)) return keyInMemory;
    try {
      return sessionStorage.getItem(KEY_NAME) ?? "";
    } catch {
      return "";
    }
  },
  write(key: string): void {
    keyInMemory = key;
    if (sharesOrigin(location)) return;
    try {
      sessionStorage.setItem(KEY_NAME, key);
    } catch {
      // A browser that stores nothing: memory it is.
    }
  },
};
