import { CodedError } from "../../src/domain/errors.ts";
import { closest } from "../catalogue/suggestion.ts";
import { type Command, type CommandContext, parseArguments } from "./command.ts";
import { exitCodeOf } from "./exit-codes.ts";
import { helpFor, helpForAll } from "./help.ts";
import type { Output } from "./output.ts";

export interface CommandLine {
  readonly commands: readonly Command[];
  readonly version: string;
  readonly context: Omit<CommandContext, "out">;
  /** For help and version, which are text whoever reads. */
  print(text: string): void;
  createOutput(json: boolean): Output;
}

/** Runs the command that the arguments name and resolves to the exit code. Never rejects. */
export async function runCommandLine(args: readonly string[], line: CommandLine): Promise<number> {
  // Known before the arguments are read, so that their errors come in the right form too.
  const out = line.createOutput(args.includes("--json"));
  try {
    const code = await runCommand(args, line, out);
    return typeof code === "number" ? code : 0;
  } catch (error) {
    // Once things are being ended, every failure is a consequence of that.
    const { signal, env } = line.context;
    return report(signal.aborted ? signal.reason : error, out, env["PINFERENCE_DEBUG"] === "1");
  }
}

async function runCommand(args: readonly string[], line: CommandLine, out: Output): Promise<number | void> {
  const [first] = args;
  if (first === "--version" || first === "-v") return line.print(`${line.version}\n`);
  if (first === undefined || first === "--help" || first === "-h" || first === "help") {
    return line.print(helpForAll(line.commands));
  }
  const { command, rest } = findCommand(args, line.commands);
  if (rest.includes("-h")) return line.print(helpFor(command));
  const { values, positionals } = parseArguments(command, rest);
  if (values["help"] === true) return line.print(helpFor(command));
  return command.run(values, positionals, { ...line.context, out });
}

/** A name may have two words. Errors: `usage` with the nearest name. */
function findCommand(args: readonly string[], commands: readonly Command[]) {
  for (const command of commands) {
    const words = command.name.split(" ");
    if (words.every((word, index) => args[index] === word)) return { command, rest: args.slice(words.length) };
  }
  const [noun = "", verb] = args;
  const names = commands.map(({ name }) => name);
  const verbs = names.filter((name) => name.startsWith(`${noun} `));
  const meant = closest(verb === undefined ? noun : `${noun} ${verb}`, names) ?? closest(noun, names) ?? verbs[0];
  const said = verbs.length > 0 && verb !== undefined ? `${noun} ${verb}` : noun;
  const advice = meant === undefined ? "see `pinference --help`" : `did you mean \`pinference ${meant}\`?`;
  throw new CodedError("usage", `there is no command "${said}"; ${advice}`);
}

/** One clear sentence for whoever has to act; the stack only for those who ask for it. */
function report(error: unknown, out: Output, debug: boolean): number {
  const coded = error instanceof CodedError ? error : undefined;
  const exitCode = exitCodeOf(coded);
  if (coded?.code === "interrupted") {
    out.emit({ event: "stopped", exitCode });
    return exitCode;
  }
  const stack = debug && error instanceof Error ? `\n${error.stack}` : "";
  const said = coded?.message ?? `${String(error)}. This is a bug in pinference; PINFERENCE_DEBUG=1 shows where`;
  out.emit({ event: "error", code: coded?.code ?? "bug", message: `${said}${stack}`, exitCode });
  return exitCode;
}
