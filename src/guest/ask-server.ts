import { type IncomingMessage, request as httpRequest } from "node:http";

import { CodedError } from "../domain/errors.ts";
import { type HeaderList, type ServerAnswer, toRequestTarget, toServerHeaders } from "./forward.ts";
import { NoAnswer } from "./own-answers.ts";
import type { RunRequest } from "./protocol.ts";

/**
 * One request to the server on a connection of its own, and its whole answer. An aborted signal closes the connection,
 * by which the server ends its work. Errors: a `NoAnswer`; the signal's reason.
 */
export async function askServer(socketPath: string, asked: RunRequest, signal: AbortSignal): Promise<ServerAnswer> {
  const { method, path, queryString, body } = asked;
  // HTTP/1.1 has no request without one.
  const headers = hasHost(asked.headers) ? asked.headers : [["host", "localhost"] as const, ...asked.headers];
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const request = startRequest(socketPath, {
      method,
      target: toRequestTarget(path, queryString),
      headers: toServerHeaders(method, headers, body.byteLength),
    });
    const abort = (): void => {
      request.destroy();
      reject(signal.reason as Error);
    };
    signal.addEventListener("abort", abort, { once: true });
    const fail = (error: NodeJS.ErrnoException): void => {
      signal.removeEventListener("abort", abort);
      reject(toNoAnswer(error));
    };
    request.once("error", fail);
    // Neither was asked for; left alone, they would leave the request without an end.
    request.once("connect", () => fail(new Error("it opened a tunnel")));
    request.once("upgrade", () => fail(new Error("it changed the protocol")));
    request.once("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.once("error", fail);
      response.once("end", () => {
        signal.removeEventListener("abort", abort);
        resolve(toAnswer(response, Buffer.concat(chunks)));
      });
    });
    request.end(body);
  });
}

function hasHost(headers: HeaderList): boolean {
  return headers.some(([name]) => name.toLowerCase() === "host");
}

function startRequest(
  socketPath: string,
  { method, target, headers }: { method: string; target: string; headers: HeaderList },
) {
  // A tunnel would carry what nobody answers.
  if (method === "CONNECT") throw badRequest(405, "method_not_allowed", "CONNECT is not served.");
  try {
    return httpRequest({ agent: false, socketPath, method, path: target, headers: headers.flat(), setHost: false });
  } catch (error) {
    // A method or a header that HTTP cannot say.
    throw badRequest(400, "invalid_value", `The request cannot be forwarded: ${(error as Error).message}.`);
  }
}

function badRequest(status: number, code: CodedError["code"], message: string): NoAnswer {
  return new NoAnswer({ status, error: new CodedError(code, message) });
}

function toAnswer({ statusCode = 502, rawHeaders }: IncomingMessage, body: Buffer): ServerAnswer {
  const headers = Array.from(
    { length: rawHeaders.length / 2 },
    (_, at) => [rawHeaders[2 * at] ?? "", rawHeaders[2 * at + 1] ?? ""] as const,
  );
  return { status: statusCode, headers, body };
}

function toNoAnswer(cause: NodeJS.ErrnoException): NoAnswer {
  if (cause.code?.startsWith("HPE_") === true) {
    const error = new CodedError("program_failed", `The server did not answer in HTTP: ${cause.message}.`, { cause });
    return new NoAnswer({ status: 502, error }, { cause });
  }
  const message = "The server ended before its answer was whole. It is being started again: try again soon.";
  return new NoAnswer({ status: 503, error: new CodedError("program_failed", message, { cause }), retryAfterS: 1 });
}
