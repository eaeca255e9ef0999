import type { ItemHash } from "../../src/domain/hash.ts";
import { crnStateOf, findCrns } from "../stages/warm.ts";
import { command } from "./command.ts";
import { asOperator, NETWORK_OPTIONS } from "./operator.ts";
import { CodedError } from "../../src/domain/errors.ts";

export const status = command({
  name: "status",
  summary: "Tell how published models fare: kept, running or cold, on which compute node, and for how many days",
  positionals: { name: "MODEL", help: "of the lockfile (default: all)" },
  options: {
    ...NETWORK_OPTIONS,
    crn: { type: "string", value: "URLS", help: "compute nodes to look at (default: the best)" },
  },
  async run(options, names, context) {
    const { out, signal } = context;
    await asOperator(options, context, async ({ network, lockfile }) => {
      const unknown = names.find((name) => !lockfile.models.has(name));
      if (unknown !== undefined) {
        throw new CodedError(
          "usage",
          `${lockfile.path} has no model "${unknown}"; it has: ${[...lockfile.models.keys()].join(", ")}`,
        );
      }
      const stateOf = async (hash: ItemHash) => (await network.message(hash, signal))?.status ?? "unknown";
      const crns = await findCrns(network, options.crn, signal);
      for (const [model, locked] of lockfile.models) {
        if (names.length > 0 && !names.includes(model)) continue;
        const files = [];
        for (const { itemHash } of [locked.runtime, locked.code, ...locked.volumes])
          files.push(await stateOf(itemHash));
        out.emit({
          event: "status",
          model,
          itemHash: locked.itemHash,
          program: await stateOf(locked.itemHash),
          files,
          nodes: await Promise.all(crns.map((crn) => crnStateOf(crn, locked.itemHash, signal))),
          url: locked.url,
        });
      }
      const creditsPerHour = await network.runningCost(signal);
      const credits = await network.credits(signal);
      const daysLeft = creditsPerHour > 0 ? Math.floor((credits / creditsPerHour / 24) * 10) / 10 : undefined;
      out.emit({
        event: "credits",
        owner: network.owner,
        credits,
        creditsPerHour: Math.round(creditsPerHour),
        daysLeft,
      });
    });
  },
});
