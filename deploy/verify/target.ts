import { CodedError } from "../../src/domain/errors.ts";
import type { ItemHash } from "../../src/domain/hash.ts";
import { route } from "../local/routing.ts";

export interface UrlTarget {
  readonly itemHash: ItemHash;
  readonly origin: string;
  readonly isLocal: boolean;
}

/** In both of the network's forms: a path that begins with /vm/<hash>, or a host that begins with the hash in base32. */
export function programOfUrl(text: string): UrlTarget {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const found = url && route(url.host, url.pathname);
  if (url === undefined || found?.kind !== "program") {
    throw new CodedError("usage", `no program is named by "${text.slice(0, 200)}": a URL has /vm/<item hash>/ in it`);
  }
  const isLocal = /^(127\.0\.0\.1|localhost|\[::1\]|.*\.localhost)$/.test(url.hostname);
  return { itemHash: found.itemHash, origin: isLocal ? `http://127.0.0.1:${url.port}` : url.origin, isLocal };
}
