/**
 * Keeps web pages out of a node that listens on loopback. A page of any site can send requests to this machine, and
 * with a name that it points here (DNS rebinding) it is even of the same origin. Pure.
 */
import type { IncomingHttpHeaders } from "node:http";
import { BlockList, isIP } from "node:net";

import { route } from "./routing.ts";

const OF_CCN = /^\/(?:api|ipfs)\//;

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

/** Names and addresses that lead to this machine whatever a name server says. */
export function isLoopback(name: string): boolean {
  const family = isIP(name);
  if (family !== 0) return LOOPBACK.check(name, family === 4 ? "ipv4" : "ipv6");
  return name === "localhost" || name.endsWith(".localhost");
}

/**
 * Why a request may not have what belongs to the node: messages, files and lists; undefined when it may. Programs are
 * for everybody who knows their item hash, which those lists alone tell, and have rules of their own for web pages.
 */
export function foreignVisitor(target: string, headers: IncomingHttpHeaders): string | undefined {
  const { kind } = route(headers.host, target);
  const isOfTheNode = kind === "index" || kind === "own" || (kind !== "program" && OF_CCN.test(target));
  if (!isOfTheNode) return undefined;
  // Without the header no browser has sent it.
  if (headers.host !== undefined && !isLoopback(hostNameOf(`http://${headers.host}`))) return `host ${headers.host}`;
  if (headers.origin !== undefined && !isLoopback(hostNameOf(headers.origin))) return `a page of ${headers.origin}`;
  return undefined;
}

/** Empty for what is no URL with a host, as the origin `null`. */
function hostNameOf(url: string): string {
  return URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$|\.$/g, "") : "";
}
