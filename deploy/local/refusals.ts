/** Every answer that the supervisor gives in a program's stead: all the wording, in both modes. */
import type { ServerResponse } from "node:http";

import type { ErrorCode } from "../../src/domain/errors.ts";
import type { ItemHash } from "../../src/domain/hash.ts";
import { MAX_REQUEST_BYTES, SERVER_HEADERS } from "./network-rules.ts";

/** What a CRN says, to the letter. A string is sent as text, an object as JSON. */
interface NetworkWording extends Wording {
  readonly body: string | { readonly error: string; readonly error_type?: string };
}

/** A request that ends here. `message` is for the person at the local node. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly status: number;
  readonly code: ErrorCode;
  readonly network: NetworkWording;

  constructor(status: number, code: ErrorCode, message: string, network: NetworkWording, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
    this.code = code;
    this.network = network;
  }
}

const CANNOT_HOST = "This CRN cannot host the requested workload at this time.";
/** Says which programs there are; ends the messages about a program that is not there. */
const HOW_TO_LIST = "Open / on this node for the list of its programs and their URLs.";

export function malformedReference(reference: string): Refusal {
  const text = `Invalid message reference: ${reference}`;
  return new Refusal(400, "hash_malformed", text, json(400, text));
}

export function noProgramHere(path: string): Refusal {
  const message = `No program is named by this host and path (${path}). Programs are served at /vm/<item hash>/. ${HOW_TO_LIST}`;
  return new Refusal(404, "not_found", message, json(404, "404: Invalid message reference"));
}

export function wrongLabelLength(label: string, hex: string): Refusal {
  const message = `The host label "${label}" is base32, but not of the 32 bytes of an item hash. ${HOW_TO_LIST}`;
  return new Refusal(404, "hash_malformed", message, {
    status: 500,
    body: {
      error: `Could not determine hash type: '${hex}'`,
      error_type: "<class 'aleph_message.exceptions.UnknownHashError'>",
    },
  });
}

export function ownPageNotFound(path: string): Refusal {
  return new Refusal(404, "not_found", `This node has no page ${path}.`, json(404, "404: Not Found"));
}

export function draining(): Refusal {
  const message = "The local node is shutting down.";
  return new Refusal(503, "shutting_down", message, json(503, "Server is draining, try another node"));
}

export function noSuchProgram(itemHash: ItemHash): Refusal {
  const message = `This node has no PROGRAM message with item hash ${itemHash}. ${HOW_TO_LIST}`;
  return new Refusal(404, "not_found", message, initialisationFailed());
}

export function notOwned(itemHash: ItemHash, sender: string): Refusal {
  const message = `Program ${itemHash} was signed by ${sender}, and this node runs its operator's programs only.`;
  return new Refusal(403, "forbidden", message, json(503, CANNOT_HOST));
}

export function foreignVisitorRefused(who: string): Refusal {
  const message = `This node is for programs on its own machine, not for ${who}. Use localhost or 127.0.0.1, or start it with another --host to open it to others.`;
  return new Refusal(403, "forbidden", message, json(403, message));
}

export function contentRefused(itemHash: ItemHash, cause: unknown): Refusal {
  const message = `A CRN would refuse to start program ${itemHash}: ${messageOf(cause)}`;
  return new Refusal(500, "message_invalid", message, initialisationFailed(), { cause });
}

export function notSupported(itemHash: ItemHash, what: string): Refusal {
  return new Refusal(500, "not_supported", `Program ${itemHash} cannot run here: ${what}`, initialisationFailed());
}

/** `part` is code or runtime. */
export function partMissing(part: string, ref: string): Refusal {
  const message = `The ${part} of this program is not on this node: its ref ${ref} must be the item hash of a STORE message whose file was uploaded here.`;
  return new Refusal(400, "not_found", message, json(400, "400: Code, runtime or data not available"));
}

export function volumeMissing(ref: string, missing: "message" | "file"): Refusal {
  const message = `A volume of this program is not on this node: the ${missing} of its ref ${ref} is missing.`;
  const text = missing === "message" ? `500: Item hash ${ref} not found` : `500: Error downloading ${ref}`;
  return new Refusal(500, "not_found", message, json(500, text));
}

export function noCapacity(message: string): Refusal {
  return new Refusal(503, "rate_limit_exceeded", message, json(503, CANNOT_HOST));
}

export function startFailed(itemHash: ItemHash, cause: unknown): Refusal {
  const message = `Program ${itemHash} did not start: ${messageOf(cause)}`;
  const text = "500: Error during runtime initialisation";
  return new Refusal(500, "program_failed", message, json(500, text), { cause });
}

/** The guest says itself that it cannot run the program; a CRN does not pass on why. */
export function setupRefused(itemHash: ItemHash, cause: unknown): Refusal {
  const message = `Program ${itemHash} did not start: ${messageOf(cause)}`;
  const text = "500: Error during vm initialisation";
  return new Refusal(500, "program_failed", message, json(500, text), { cause });
}

export function unexpected(cause: unknown): Refusal {
  return new Refusal(500, "program_failed", messageOf(cause), initialisationFailed(), { cause });
}

export function bodyTooLarge(): Refusal {
  const text = `Maximum request body size ${MAX_REQUEST_BYTES} exceeded.`;
  return new Refusal(413, "request_too_large", text, json(413, text));
}

export function bodyUndecodable(encoding: string): Refusal {
  const text = `400: Can not decode content-encoding: ${encoding}`;
  return new Refusal(400, "invalid_value", text, json(400, text));
}

export function timedOut(seconds: number): Refusal {
  const message = `The program did not answer within its ${seconds} s (resources.seconds).`;
  return new Refusal(504, "program_failed", message, json(504, "Program did not respond within `resource.seconds`"));
}

/** `how` says what became of the program, as "was killed by SIGKILL". */
export function noAnswer(how: string): Refusal {
  const message = `The program ended the request without an answer: it ${how}. The next request starts it again.`;
  return new Refusal(502, "program_failed", message, {
    status: 502,
    reason: "No response from VM",
    body: "VM did not respond and was shut down",
  });
}

/** Over the protocol: not one msgpack object. From the server itself: not HTTP. */
export function invalidAnswer(cause: unknown): Refusal {
  const message = `The program did not answer in HTTP: ${messageOf(cause)}`;
  const network = { status: 502, reason: "Invalid response from VM", body: "" };
  return new Refusal(502, "program_failed", message, network, { cause });
}

/** One msgpack object that is no answer. */
export function wrongAnswer(cause: Error): Refusal {
  const message = `The guest did not answer in the supervisor's protocol: ${cause.message}`;
  const body = { error: cause.message, error_type: "<class 'ValueError'>" };
  return new Refusal(500, "program_failed", message, { status: 500, body }, { cause });
}

/** The guest sent the protocol's error, which a CRN shows to the client. */
export function guestFailed(traceback: string): Refusal {
  const network = { status: 500, reason: "Error in VM execution", body: traceback };
  return new Refusal(500, "program_failed", `The guest failed: ${traceback}`, network);
}

/** The OpenAI shape, which clients of the default mode read. */
export function toErrorObject(refusal: Refusal): { error: Record<string, string | null> } {
  const type = refusal.status < 500 ? "invalid_request_error" : "server_error";
  return { error: { message: refusal.message, type, param: null, code: refusal.code } };
}

/** Nothing is sent when an answer has begun, or when nobody is left to read it. */
export function sendRefusal(response: ServerResponse, refusal: Refusal, asNetwork: boolean): void {
  if (response.headersSent || response.destroyed) return;
  if (asNetwork) sendWording(response, refusal.network);
  else sendWording(response, { status: refusal.status, body: toErrorObject(refusal) });
}

interface Wording {
  readonly status: number;
  readonly reason?: string;
  readonly body: string | object;
}

function sendWording(response: ServerResponse, { status, reason, body }: Wording): void {
  const isText = typeof body === "string";
  const bytes = Buffer.from(isText ? body : JSON.stringify(body));
  const contentType = isText ? "text/plain; charset=utf-8" : "application/json; charset=utf-8";
  const headers = [...SERVER_HEADERS, ["Content-Type", contentType], ["Content-Length", String(bytes.length)]].flat();
  if (reason === undefined) response.writeHead(status, headers);
  else response.writeHead(status, reason, headers);
  response.end(bytes);
}

function json(status: number, error: string): NetworkWording {
  return { status, body: { error } };
}

function initialisationFailed(): NetworkWording {
  return json(500, "500: Unhandled error during initialisation");
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
