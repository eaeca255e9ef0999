/** Which program a request is for. Pure. Source: aleph-vm, orchestrator/views/__init__.py. */
import { isIP } from "node:net";

import { CodedError } from "../../src/domain/errors.ts";
import { type ItemHash, parseItemHash } from "../../src/domain/hash.ts";

export type Route =
  /** `target` is path and query as the client wrote them, without the prefix that named the program. */
  | { readonly kind: "program"; readonly itemHash: ItemHash; readonly target: string }
  | { readonly kind: "index" }
  /** The supervisor's own pages: /about, /control, /status, /static, /debug. They win whatever the host. */
  | { readonly kind: "own"; readonly path: string; readonly query: string }
  | { readonly kind: "malformed-reference"; readonly reference: string }
  /** A base32 label of another length than a hash. */
  | { readonly kind: "wrong-label-length"; readonly label: string; readonly hex: string }
  | { readonly kind: "no-program"; readonly path: string };

const OWN_PATH = /^\/(?:about|control|status|static|debug)(?:\/|$)/;
const PROGRAM_PATH = /^\/vm\/([^/]+)(.*)$/s;
const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";
const HASH_BYTES = 32;

/** `ownHosts` are names of the node itself, besides localhost and addresses. */
export function route(host: string | undefined, target: string, ownHosts: readonly string[] = []): Route {
  const { path, query } = splitTarget(target);
  if (OWN_PATH.test(path)) return { kind: "own", path, query };

  const [, reference, rest = ""] = PROGRAM_PATH.exec(path) ?? [];
  if (reference !== undefined) {
    const itemHash = itemHashOrUndefined(reference);
    if (itemHash === undefined) return { kind: "malformed-reference", reference };
    return { kind: "program", itemHash, target: (rest === "" ? "/" : rest) + query };
  }

  const name = hostName(host);
  if (isOwnHost(name, ownHosts)) return path === "/" ? { kind: "index" } : { kind: "no-program", path };

  const label = name.split(".", 1)[0] ?? "";
  const bytes = decodeBase32(label);
  if (bytes === undefined) return { kind: "no-program", path };
  if (bytes.length !== HASH_BYTES) return { kind: "wrong-label-length", label, hex: bytes.toString("hex") };
  return { kind: "program", itemHash: parseItemHash(bytes.toString("hex")), target };
}

/** The first label of the host form. Undefined for a CID, whose host form the network does not have. */
export function hostLabel(itemHash: ItemHash): string | undefined {
  if (!/^[0-9a-f]{64}$/.test(itemHash)) return undefined;
  let label = "";
  let bits = 0;
  let value = 0;
  for (const byte of Buffer.from(itemHash, "hex")) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      label += BASE32.charAt((value >> bits) & 31);
    }
    value &= (1 << bits) - 1;
  }
  return bits === 0 ? label : label + BASE32.charAt((value << (5 - bits)) & 31);
}

/** `query` keeps its question mark. A target in absolute form loses scheme and authority. */
function splitTarget(target: string): { path: string; query: string } {
  const local = target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, "");
  const mark = local.indexOf("?");
  const path = mark === -1 ? local : local.slice(0, mark);
  return { path: path === "" ? "/" : path, query: mark === -1 ? "" : local.slice(mark) };
}

function hostName(host: string | undefined): string {
  const text = (host ?? "").toLowerCase();
  if (text.startsWith("[")) return text.slice(1, text.indexOf("]"));
  return text.replace(/:\d*$/, "").replace(/\.$/, "");
}

function isOwnHost(name: string, ownHosts: readonly string[]): boolean {
  return name === "" || name === "localhost" || isIP(name) !== 0 || ownHosts.includes(name);
}

function itemHashOrUndefined(text: string): ItemHash | undefined {
  try {
    return parseItemHash(text);
  } catch (error) {
    if (error instanceof CodedError) return undefined;
    throw error;
  }
}

/** RFC 4648 without padding; undefined for other characters and for lengths that no number of bytes has. */
function decodeBase32(text: string): Buffer | undefined {
  if (text === "" || [1, 3, 6].includes(text.length % 8)) return undefined;
  const bytes: number[] = [];
  let bits = 0;
  let value = 0;
  for (const character of text) {
    const digit = BASE32.indexOf(character);
    if (digit === -1) return undefined;
    value = (value << 5) | digit;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes.push((value >> bits) & 255);
      value &= (1 << bits) - 1;
    }
  }
  return Buffer.from(bytes);
}
