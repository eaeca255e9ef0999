/**
 * What supervisor and guest say to each other, byte for byte. Pure, and both directions: the guest init reads what the
 * local node writes, and the other way round.
 * Source: aleph-vm 1.14, hypervisors/firecracker/microvm.py and controllers/firecracker/program.py.
 */
import { decode, encode } from "@msgpack/msgpack";

import type { HeaderList, ServerAnswer } from "./forward.ts";

/** A run request: 1 MiB of body, and more headers than any supervisor lets through. */
export const MAX_RUN_BYTES = 4 * 1024 * 1024;
/** A configuration: 10 MB each of inline code and data, and the rest. */
export const MAX_CONFIGURATION_BYTES = 24 * 1024 * 1024;
/** Of the length in front of a configuration. */
export const MAX_LENGTH_DIGITS = 9;

/** Sent by the guest once it listens. The version chooses the configuration's form. */
export const READY: Uint8Array = encode({ version: "2.0.0" });
export const HALT = Buffer.from("halt");
export const HALTED: readonly string[] = ["STOP\n", "STOPZ\n"];

export interface ConfiguredVolume {
  readonly mount: string;
  /** Without /dev/, as `vdb`. */
  readonly device: string;
  readonly readOnly: boolean;
}

export interface Configuration {
  readonly vmHash: string;
  readonly interface: string;
  readonly encoding: string;
  readonly entrypoint: string;
  /** In the order of the devices; a squashfs code volume is the first. */
  readonly volumes: readonly ConfiguredVolume[];
  readonly variables: Readonly<Record<string, string>>;
}

/** For a guest without a network card none of this is of use, but it is always sent. */
export interface NetworkConfiguration {
  readonly ip: string | null;
  readonly route: string | null;
  readonly dnsServers: readonly string[];
  readonly ipv6: string | null;
  readonly ipv6Gateway: string | null;
}

export type SetupAnswer = { readonly success: true } | { readonly success: false; readonly error: string };

export interface RunRequest {
  readonly method: string;
  /** Percent-decoded by the supervisor, as is the query. */
  readonly path: string;
  readonly queryString: string;
  /** Bytes as Latin-1 text, which is what Node's HTTP takes. */
  readonly headers: HeaderList;
  readonly body: Uint8Array;
}

/** Bytes that do not say what they should. The message is for whoever wrote them. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

/** The configuration with its length in front, in the form of version 2 of the protocol, or of version 1. */
export function encodeConfiguration(
  configuration: Configuration,
  network: NetworkConfiguration,
  version: 1 | 2 = 2,
): Buffer {
  const message = encode({
    input_data: null,
    interface: configuration.interface,
    vm_hash: configuration.vmHash,
    encoding: configuration.encoding,
    entrypoint: configuration.entrypoint,
    code: new Uint8Array(0),
    ip: network.ip,
    route: network.route,
    dns_servers: network.dnsServers,
    volumes: configuration.volumes.map(({ mount, device, readOnly }) => ({ mount, device, read_only: readOnly })),
    variables: configuration.variables,
    ...(version === 1 ? {} : { ipv6: network.ipv6, ipv6_gateway: network.ipv6Gateway, authorized_keys: null }),
  });
  return Buffer.concat([Buffer.from(`${message.byteLength}\n`), message]);
}

/** Takes the message without its length. Unknown keys are left alone. Errors: `ProtocolError`. */
export function parseConfiguration(bytes: Uint8Array): Configuration {
  const root = decodeMap(bytes, "configuration");
  const volumes = root["volumes"] ?? [];
  if (!Array.isArray(volumes)) throw new ProtocolError("volumes is no array");
  return {
    vmHash: textOf(root, "vm_hash"),
    interface: textOf(root, "interface"),
    encoding: textOf(root, "encoding"),
    entrypoint: textOf(root, "entrypoint"),
    volumes: volumes.map((volume: unknown) => parseVolume(mapOf(volume, "a volume"))),
    variables: parseVariables(root["variables"]),
  };
}

export function encodeSetupAnswer(answer: SetupAnswer): Uint8Array {
  return encode(answer.success ? { success: true } : { success: false, error: answer.error, traceback: answer.error });
}

/** Errors: `ProtocolError`, also for any key but the three that exist. */
export function parseSetupAnswer(bytes: Uint8Array): SetupAnswer {
  const root = decodeMap(bytes, "setup answer");
  const unknown = Object.keys(root).find((key) => !["success", "error", "traceback"].includes(key));
  if (unknown !== undefined) throw new ProtocolError(`the setup answer has an unknown key "${unknown}"`);
  if (root["success"] === true) return { success: true };
  return { success: false, error: typeof root["error"] === "string" ? root["error"] : "no reason was given" };
}

export function encodeRunRequest({ method, path, queryString, headers, body }: RunRequest): Uint8Array {
  const pairs = headers.map(([name, value]) => [Buffer.from(name, "latin1"), Buffer.from(value, "latin1")]);
  return encode({ scope: { type: "http", path, method, query_string: queryString, headers: pairs, body } });
}

/** Errors: `ProtocolError`. */
export function parseRunRequest(bytes: Uint8Array): RunRequest {
  const scope = mapOf(decodeMap(bytes, "request")["scope"], "scope");
  if (scope["type"] !== "http") throw new ProtocolError(`only HTTP is served, not "${String(scope["type"])}"`);
  return {
    method: textOf(scope, "method"),
    path: textOf(scope, "path"),
    queryString: textOf(scope, "query_string"),
    headers: parseHeaders(scope["headers"]).map(([name, value]) => [name.toString("latin1"), value.toString("latin1")]),
    body: bytesOf(scope["body"], "body"),
  };
}

/** Names and values of headers become bytes that are UTF-8, as the host decodes them so. */
export function encodeAnswer({ status, headers, body }: ServerAnswer): Uint8Array {
  const pairs = headers.map(([name, value]) => [toUtf8(name), toUtf8(value)]);
  return encode({ headers: { headers: pairs, status }, body: { body }, output: "", output_data: null });
}

export type GuestAnswer = ServerAnswer | { readonly traceback: string };

/** What the host makes of an answer. Errors: `ProtocolError`; a `WrongAnswer` where the bytes are msgpack at least. */
export function parseAnswer(bytes: Uint8Array): GuestAnswer {
  const root = decodeMap(bytes, "answer");
  if ("traceback" in root) return { traceback: String(root["traceback"]) };
  try {
    const head = mapOf(root["headers"], "headers");
    const { status } = head;
    if (typeof status !== "number") throw new ProtocolError("status is no number");
    return {
      status,
      headers: parseHeaders(head["headers"]).map(([name, value]) => [fromUtf8(name), fromUtf8(value)]),
      body: bytesOf(mapOf(root["body"], "body")["body"], "body"),
    };
  } catch (error) {
    throw error instanceof ProtocolError ? new WrongAnswer(error.message) : error;
  }
}

/** An answer that is msgpack, but not what an answer is made of. */
export class WrongAnswer extends ProtocolError {}

/** A server's header is bytes; those that are not UTF-8 are taken as Latin-1. */
function toUtf8(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  return isUtf8Bytes(bytes) ? bytes : Buffer.from(text, "utf8");
}

function fromUtf8(bytes: Buffer): string {
  if (!isUtf8Bytes(bytes)) throw new ProtocolError("a header is not UTF-8");
  return bytes.toString("latin1");
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true });

function isUtf8Bytes(bytes: Buffer): boolean {
  try {
    strictUtf8.decode(bytes);
    return true;
  } catch {
    return false;
  }
}

type MessageMap = Readonly<Record<string, unknown>>;

function decodeMap(bytes: Uint8Array, what: string): MessageMap {
  let value: unknown;
  try {
    value = decode(bytes);
  } catch (error) {
    throw new ProtocolError(`the ${what} is not one msgpack object: ${(error as Error).message}`, { cause: error });
  }
  return mapOf(value, `the ${what}`);
}

function mapOf(value: unknown, what: string): MessageMap {
  if (typeof value === "object" && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value)) {
    return value as MessageMap;
  }
  throw new ProtocolError(`${what} is no map`);
}

function textOf(map: MessageMap, key: string): string {
  const value = map[key];
  if (typeof value !== "string") throw new ProtocolError(`${key} is no text`);
  return value;
}

/** Text is taken too, as the host does. */
function bytesOf(value: unknown, what: string): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (typeof value === "string") return Buffer.from(value);
  throw new ProtocolError(`${what} is not binary`);
}

function parseHeaders(value: unknown): (readonly [Buffer, Buffer])[] {
  if (!Array.isArray(value)) throw new ProtocolError("headers is no array");
  return value.map((pair: unknown) => {
    const [name, content] = Array.isArray(pair) ? (pair as unknown[]) : [];
    if (!(name instanceof Uint8Array) || !(content instanceof Uint8Array)) {
      throw new ProtocolError("a header is not a pair of binaries");
    }
    return [Buffer.from(name), Buffer.from(content)] as const;
  });
}

function parseVolume(volume: MessageMap): ConfiguredVolume {
  return {
    mount: textOf(volume, "mount"),
    device: textOf(volume, "device"),
    readOnly: volume["read_only"] !== false,
  };
}

function parseVariables(value: unknown): Readonly<Record<string, string>> {
  if (value === null || value === undefined) return {};
  const entries = Object.entries(mapOf(value, "variables"));
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === "string"));
}
