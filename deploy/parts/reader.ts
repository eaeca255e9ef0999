import { readAuthorizations, readMessage, type Asking } from "../network/read-message.ts";
import type { Parts } from "../commands/parts.ts";

/** Of the network through one node, for whoever wants to check it. */
export function createReader(apiServer: string, ask: Asking): Awaited<ReturnType<Parts["reader"]>> {
  return {
    findMessage: (itemHash) => readMessage(apiServer, itemHash, ask),
    async delegationsOf(owner) {
      const rules = await readAuthorizations(apiServer, owner, ask);
      return {
        allows: (sender, type, channel) =>
          rules.some(
            (rule) =>
              String(rule["address"]).toLowerCase() === sender.toLowerCase() &&
              (rule["chain"] === undefined || rule["chain"] === null || rule["chain"] === "ETH") &&
              admits(rule["types"], type) &&
              admits(rule["channels"], channel ?? ""),
          ),
      };
    },
    fileUrl: (fileHash) => `${apiServer}/api/v0/storage/raw/${fileHash}`,
  };
}

/** No values: no restriction. */
function admits(values: unknown, value: string): boolean {
  return !Array.isArray(values) || values.length === 0 || values.includes(value);
}
