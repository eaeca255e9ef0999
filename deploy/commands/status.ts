import { CodedError } from "../../src/domain/errors.ts";
import type { LockedImage, LockedModel } from "../pins.ts";
import { adviceForState } from "../network/advice.ts";
import { crnStateOf, findCrns } from "../stages/warm.ts";
import { command, type CommandContext } from "./command.ts";
import type { StatusEvent } from "./events.ts";
import { asOperator, NETWORK_OPTIONS, type Operator } from "./operator.ts";

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
      const lookMs = options.timeout * 1000;
      const crns = await findCrns(network, options.crn, signal);
      const creditsPerHour = await network.runningCost(signal);
      const credits = await network.credits(signal);
      const daysLeft = creditsPerHour > 0 ? Math.floor((credits / creditsPerHour / 24) * 10) / 10 : undefined;
      for (const [model, locked] of lockfile.models) {
        if (names.length > 0 && !names.includes(model)) continue;
        const nodes = await Promise.all(crns.map((crn) => crnStateOf(crn, locked.itemHash, { signal, lookMs })));
        const found = await look(locked, network, context);
        const { itemHash, url, publishedAt } = locked;
        out.emit({ event: "status", model, itemHash, url, publishedAt, nodes, daysLeft, ...found });
      }
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

/** What the network keeps of a model. */
async function look(
  { itemHash, runtime, code, volumes }: LockedModel,
  network: Operator["network"],
  { out, signal }: CommandContext,
): Promise<Pick<StatusEvent, "program" | "files" | "bytes" | "lost" | "creditsPerHour">> {
  const stateOf = async (hash: typeof itemHash, what: string) => {
    const state = (await network.message(hash, signal))?.status ?? "unknown";
    if (state !== "processed") {
      const advice = adviceForState(state, network.owner);
      out.emit({ event: "note", message: `the ${what}, message ${hash}, is ${state}. ${advice}` });
    }
    return state;
  };
  const images: readonly (readonly [string, LockedImage])[] = [
    ["runtime", runtime],
    ["code volume", code],
    ...volumes.map((volume, at) => [`model volume ${at + 1}`, volume] as const),
  ];
  const files: string[] = [];
  const lost: string[] = [];
  for (const [stage, image] of images) {
    const state = await stateOf(image.itemHash, stage);
    files.push(state);
    if (state === "processed" && !(await network.holds(image.fileHash, signal))) lost.push(stage);
  }
  const program = await stateOf(itemHash, "program");
  return {
    program,
    files,
    bytes: images.reduce((sum, [, { bytes }]) => sum + bytes, 0),
    lost,
    creditsPerHour: program === "processed" ? Math.round(await network.price(itemHash, signal)) : undefined,
  };
}
