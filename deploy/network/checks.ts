/** What is checked before anything is sent. */
import { stat } from "node:fs/promises";

import { utils } from "ethers";

import { CodedError } from "../../src/domain/errors.ts";
import type { BuiltImage } from "../../src/domain/volume.ts";
import { strictProgramProblems } from "../messages/strict.ts";

/** Errors: `message_invalid` for what no compute node would start. */
export function requireStartable(content: object): void {
  const problems = strictProgramProblems(JSON.stringify(content));
  if (problems.length === 0) return;
  throw new CodedError("message_invalid", `this program would never start: ${problems.join("; ")}`);
}

/** Errors: `config_invalid`. */
export function parseOwner(text: string): string {
  if (/^0x[0-9a-f]{40}$/i.test(text)) return utils.getAddress(text.toLowerCase());
  throw new CodedError(
    "config_invalid",
    `not an address of an owner: "${text.slice(0, 100)}"; it takes 0x and 40 digits`,
  );
}

/** Errors: `config_invalid`. */
export function parseApiServer(text: string): string {
  if (process.env["ALEPH_API_UNIX_SOCKET"]) {
    throw new CodedError(
      "config_invalid",
      "ALEPH_API_UNIX_SOCKET is set: the SDK would send everything to that socket. Unset it",
    );
  }
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== "http:" && url?.protocol !== "https:") {
    throw new CodedError("config_invalid", `not the URL of an API node: "${text}"`);
  }
  return text.replace(/\/+$/, "");
}

/** Errors: `image_invalid`. */
export async function requireUnchanged(image: BuiltImage): Promise<void> {
  const size = await stat(image.path).then(
    (stats) => stats.size,
    () => undefined,
  );
  if (size === image.bytes) return;
  const found = size === undefined ? "is gone" : `has ${size} bytes instead of ${image.bytes}`;
  throw new CodedError("image_invalid", `${image.path} ${found}: build it again`);
}
