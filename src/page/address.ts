/** Where this page is: the base of the API, and which program it belongs to. Pure. */

/** Of the page, with a slash at its end, without query and fragment. */
export function pageAddress({ origin, pathname }: Pick<Location, "origin" | "pathname">): string {
  return `${origin}${pathname.replace(/[^/]*$/, "")}`;
}

const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";

/** The program's item hash, where the address names it: by its path, or by its host in base32. */
export function itemHashOf({ hostname, pathname }: Pick<Location, "hostname" | "pathname">): string | undefined {
  const [, inPath] = /^\/vm\/([0-9A-Za-z]+)\//.exec(pathname) ?? [];
  if (inPath !== undefined) return inPath;
  const label = hostname.split(".")[0] ?? "";
  if (!/^[a-z2-7]{52}$/.test(label)) return undefined;
  let bits = "";
  for (const character of label) bits += BASE32.indexOf(character).toString(2).padStart(5, "0");
  return (bits.slice(0, 256).match(/.{4}/g) ?? []).map((digit) => Number.parseInt(digit, 2).toString(16)).join("");
}

/**
 * Whether pages of other programs are of the same origin, and so can read what this one stores: a path can name any
 * program of the host, a host name only this one.
 */
export function sharesOrigin({ pathname }: Pick<Location, "pathname">): boolean {
  return pathname.startsWith("/vm/");
}
