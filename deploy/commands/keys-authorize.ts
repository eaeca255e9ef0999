import { CodedError } from "../../src/domain/errors.ts";
import { mergeAuthorization } from "../network/authorizations.ts";
import { command } from "./command.ts";
import { asOperator, NETWORK_OPTIONS } from "./operator.ts";

export const keysAuthorize = command({
  name: "keys authorize",
  summary: "Let another key publish in your name: STORE and PROGRAM messages only, nothing else",
  positionals: { name: "ADDRESS", help: "of the key, such as one that only CI has" },
  options: {
    ...NETWORK_OPTIONS,
    revoke: { type: "boolean", help: "take the right away again" },
    yes: { type: "boolean", help: "do not ask" },
  },
  examples: ["pinference keys authorize 0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"],
  async run(options, positionals, context) {
    const [address, ...rest] = positionals;
    if (address === undefined || rest.length > 0 || !/^0x[0-9a-f]{40}$/i.test(address)) {
      throw new CodedError("usage", "keys authorize takes one address: 0x and 40 hexadecimal digits");
    }
    await asOperator(options, context, async ({ network }) => {
      const { out, parts, signal } = context;
      if (network.owner !== network.address) {
        throw new CodedError("usage", "only the owner's own key can say who may sign: unset ALEPH_OWNER_ADDRESS");
      }
      const found = await network.aggregate(network.owner, "security", signal);
      const merged = mergeAuthorization(found, address, options.revoke);
      if (merged === undefined) {
        return out.emit({ event: "stage", stage: "authorization", outcome: "cached", detail: address });
      }
      if (!options.yes && !(await parts.confirm(options.revoke ? "Revoke it?" : `Let ${address} publish?`, signal))) {
        throw new CodedError("usage", "nothing was changed: answer yes, or add --yes");
      }
      const itemHash = await network.publishAggregate("security", merged, signal);
      const outcome = options.revoke ? "revoked" : "granted";
      out.emit({ event: "stage", stage: "authorization", outcome, itemHash, detail: address });
    });
  },
});
