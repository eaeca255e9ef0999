/**
 * What a CRN does to a request and to an answer on their way. Pure.
 * Source: aleph-vm, orchestrator/run.py, as observed with aiohttp 3.14 and yarl 1.25.
 */
import type { ItemHash } from "../../src/domain/hash.ts";
import { HOP_BY_HOP, type HeaderList, type ServerAnswer, withoutHeaders } from "../../src/guest/forward.ts";

/** Of the decompressed body. One byte more is refused. */
export const MAX_REQUEST_BYTES = 1_048_576;

/** Memory that all programs of a CRN share. Source: aleph-vm's default; each operator may change it. */
export const PROGRAM_MEMORY_MIB = 8192;

/** Virtual CPUs that a CRN gives out for each CPU it has. */
export const VCPUS_PER_CPU = 4;

/** What the packaged HAProxy in front of a CRN answers after 300 s without a byte. */
export const GATEWAY_TIMEOUT_PAGE =
  "<html><body><h1>504 Gateway Time-out</h1>\nThe server didn't respond in time.\n</body></html>\n";

// Reproduces aleph-vm 1.14; the name says that this is not one.
const SERVER = "aleph-vm/1.14.0-local";
export const SUPERVISOR_VERSION = SERVER.slice("aleph-vm/".length);

/** Headers that every answer carries. */
export const SERVER_HEADERS: HeaderList = [["Server", SERVER]];

export interface ProgramIdentity {
  readonly itemHash: ItemHash;
  readonly codeRef: ItemHash;
}

export function identityHeaders({ itemHash, codeRef }: ProgramIdentity): HeaderList {
  return [["Aleph-Program-ItemHash", itemHash], ["Aleph-Program-Code-Ref", codeRef], ...SERVER_HEADERS];
}

/** The path as the guest is told it: escapes decoded where they are UTF-8. */
export function decodePath(path: string): string {
  return unquote(path, new Set());
}

/** The query as the guest is told it. Escapes of its own delimiters stay, so that it can still be parsed. */
export function decodeQuery(query: string): string {
  return unquote(query.replaceAll("+", " "), new Set(["&", "=", "+", ";"]));
}

// Removed without undoing what the first two describe; a guest must not rely on them.
const REMOVED_FROM_ANSWER: ReadonlySet<string> = new Set(["content-encoding", "transfer-encoding", "vary"]);

// Set here; whatever the guest says of them is overwritten.
const SET_BY_SUPERVISOR: ReadonlySet<string> = new Set([
  "server",
  "date",
  "aleph-program-itemhash",
  "aleph-program-code-ref",
]);

/** The guest's answer as the client gets it. */
export function toClientAnswer(method: string, answer: ServerAnswer, identity: ProgramIdentity): ServerAnswer {
  if (answer.status === 404) return rewrittenNotFound(answer.body);
  const headers = withoutHeaders(answer.headers, new Set([...REMOVED_FROM_ANSWER, ...SET_BY_SUPERVISOR]))
    .filter(([name]) => !HOP_BY_HOP.has(name.toLowerCase()))
    .map(([name, value]) => [name.toLowerCase(), value] as const);
  const has = (wanted: string): boolean => headers.some(([name]) => name === wanted);
  const bodiless = method === "HEAD" || answer.status === 204 || answer.status === 304;
  return {
    status: answer.status,
    headers: [
      ...headers,
      ...(has("content-type") ? [] : [["content-type", "application/octet-stream"] as const]),
      ...(has("content-length") || bodiless ? [] : [["content-length", String(answer.body.byteLength)] as const]),
      ...identityHeaders(identity),
    ],
    body: answer.body,
  };
}

/** A guest's 404 loses its headers, and its body becomes a string. */
function rewrittenNotFound(guestBody: Uint8Array): ServerAnswer {
  const body = Buffer.from(JSON.stringify({ error: Buffer.from(guestBody).toString("utf8") }));
  return {
    status: 404,
    headers: [
      ["content-type", "application/json; charset=utf-8"],
      ["content-length", String(body.length)],
      ...SERVER_HEADERS,
    ],
    body,
  };
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Decodes escapes; those that are not UTF-8, and those of `kept` characters, stay as they are. */
function unquote(text: string, kept: ReadonlySet<string>): string {
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (escapes) => {
    const bytes = Buffer.from(escapes.replaceAll("%", ""), "hex");
    let decoded = "";
    for (let at = 0; at < bytes.length;) {
      const length = sequenceLength(bytes[at] ?? 0);
      const character = decodeCharacter(bytes.subarray(at, at + length), length);
      const used = character === undefined ? 1 : length;
      decoded += character === undefined || kept.has(character) ? escapes.slice(3 * at, 3 * (at + used)) : character;
      at += used;
    }
    return decoded;
  });
}

function sequenceLength(firstByte: number): number {
  if (firstByte < 0x80) return 1;
  if (firstByte < 0xe0) return 2;
  return firstByte < 0xf0 ? 3 : 4;
}

function decodeCharacter(bytes: Uint8Array, length: number): string | undefined {
  if (bytes.length < length) return undefined;
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}
