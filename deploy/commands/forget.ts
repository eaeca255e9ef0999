import { CodedError } from "../../src/domain/errors.ts";
import type { ItemHash } from "../../src/domain/hash.ts";
import { command, type CommandContext } from "./command.ts";
import { asOperator, NETWORK_OPTIONS, type Operator } from "./operator.ts";
import { toCost } from "./planning.ts";

export const forget = command({
  name: "forget",
  summary: "Take a model off the network: its programs, then the files that no other program uses",
  positionals: { name: "MODEL", help: "of the lockfile, or the name that its program has" },
  options: {
    ...NETWORK_OPTIONS,
    previous: { type: "boolean", help: "only its earlier programs; the present one stays" },
    yes: { type: "boolean", help: "do not ask" },
  },
  examples: ["pinference forget qwen3-0.6b", "pinference forget qwen3-0.6b --previous --yes"],
  async run(options, positionals, context) {
    const [model, ...rest] = positionals;
    if (model === undefined || rest.length > 0) throw new CodedError("usage", "forget takes one model");
    await asOperator(options, context, async (operator) => {
      const { network, lockfile } = operator;
      const { signal } = context;
      const locked = lockfile.models.get(model);
      const named = await network.programsNamed(model, signal);
      const present = locked?.itemHash;
      const all = [...new Set([...(locked?.previous ?? []), ...named, ...(present === undefined ? [] : [present])])];
      const wanted = options.previous ? all.filter((hash) => hash !== present) : all;
      const programs = await existing(wanted, operator, context);
      if (programs.length === 0 && locked === undefined) {
        throw new CodedError(
          "usage",
          `no program of ${network.owner} is called "${model}", and ${lockfile.path} has none`,
        );
      }
      // Of files that a killed run has left, the lockfile still knows.
      const lockedFiles = locked === undefined || options.previous ? [] : filesOf(locked);
      const files = [...new Set([...programs.flatMap(({ refs }) => refs), ...lockedFiles])];
      await confirm(model, programs.length, options.yes, context);
      const freed = await forgetAll(model, programs, files, operator, context);
      if (locked !== undefined && !options.previous) await lockfile.set(model, undefined);
      if (locked !== undefined && options.previous) await lockfile.set(model, { ...locked, previous: [] });
      context.out.emit({ event: "forgotten", model, ...freed });
    });
  },
});

interface Program {
  readonly itemHash: ItemHash;
  readonly refs: readonly ItemHash[];
  readonly creditsPerHour: number;
}

/** Those that the network still has. */
async function existing(
  hashes: readonly ItemHash[],
  { network }: Operator,
  { signal }: CommandContext,
): Promise<readonly Program[]> {
  const found: Program[] = [];
  for (const itemHash of hashes) {
    const state = await network.message(itemHash, signal);
    if (state?.status !== "processed" && state?.status !== "removing") continue;
    const { code, runtime, volumes } = state.content as {
      code: { ref: ItemHash };
      runtime: { ref: ItemHash };
      volumes?: readonly { ref?: ItemHash }[];
    };
    const refs = [runtime.ref, code.ref, ...(volumes ?? []).flatMap(({ ref }) => (ref === undefined ? [] : [ref]))];
    found.push({ itemHash, refs, creditsPerHour: await network.price(itemHash, signal) });
  }
  return found;
}

function filesOf({ runtime, code, volumes }: NonNullable<ReturnType<Operator["lockfile"]["models"]["get"]>>) {
  return [runtime, code, ...volumes].map(({ itemHash }) => itemHash);
}

async function confirm(model: string, programs: number, yes: boolean, { out, parts, signal }: CommandContext) {
  if (yes) return;
  const question = `Forget ${programs} program${programs === 1 ? "" : "s"} of ${model}? Their URLs end for good.`;
  const answer = out.json ? undefined : await parts.confirm(question, signal);
  if (answer === undefined) throw new CodedError("usage", "nobody can be asked: add --yes");
  if (!answer) throw new CodedError("interrupted", "nothing was forgotten");
}

/** The network refuses to forget a file that a program refers to, so programs go first, and files one by one. */
async function forgetAll(
  model: string,
  programs: readonly Program[],
  files: readonly ItemHash[],
  { network }: Operator,
  { out, signal }: CommandContext,
) {
  let creditsPerHour = 0;
  for (const { itemHash, creditsPerHour: cost } of programs) {
    await network.forget([itemHash], `${model} is taken off`, signal);
    creditsPerHour += cost;
    out.emit({ event: "stage", stage: "program", outcome: "forgotten", model, itemHash });
  }
  let kept = 0;
  for (const itemHash of files) {
    const state = await network.message(itemHash, signal);
    if (state?.status !== "processed") continue;
    const users = await network.programsUsing([itemHash], signal);
    const cost = await network.price(itemHash, signal);
    if (users.length === 0 && (await tryForget(itemHash, model, network, signal))) {
      creditsPerHour += cost;
      out.emit({ event: "stage", stage: "file", outcome: "forgotten", model, itemHash });
    } else {
      kept += 1;
      out.emit({ event: "stage", stage: "file", outcome: "kept", model, itemHash, detail: "another program uses it" });
    }
  }
  return { programs: programs.length, filesKept: kept, freed: toCost(creditsPerHour) };
}

/** False where a program of somebody else refers to the file. */
async function tryForget(
  itemHash: ItemHash,
  model: string,
  network: Operator["network"],
  signal: AbortSignal,
): Promise<boolean> {
  try {
    await network.forget([itemHash], `file of ${model}, which is taken off`, signal);
    return true;
  } catch (error) {
    if (error instanceof CodedError && error.details["error_name"] === "FORGET_NOT_ALLOWED") return false;
    throw error;
  }
}
