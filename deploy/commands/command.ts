import { parseArgs } from "node:util";

import { CodedError } from "../../src/domain/errors.ts";
import { closest } from "../catalogue/suggestion.ts";
import type { Output } from "./output.ts";
import type { Parts } from "./parts.ts";

/** One option of a command. `value` is how its argument is called in the help. */
export type OptionSpec =
  | { readonly type: "boolean"; readonly help: string }
  | { readonly type: "string"; readonly value: string; readonly help: string; readonly default?: string }
  /** May be given several times. */
  | { readonly type: "list"; readonly value: string; readonly help: string }
  | {
      readonly type: "integer";
      readonly value: string;
      readonly help: string;
      readonly min: number;
      readonly max: number;
      readonly default?: number;
    };

export type OptionTable = Readonly<Record<string, OptionSpec>>;

type ValueOf<Spec extends OptionSpec> = Spec extends { type: "boolean" }
  ? boolean
  : Spec extends { type: "list" }
    ? readonly string[]
    : (Spec extends { type: "integer" } ? number : string) | (Spec extends { default: unknown } ? never : undefined);

export type ValuesOf<Options extends OptionTable> = { readonly [Name in keyof Options]: ValueOf<Options[Name]> };

/** What a command is given besides its arguments. */
export interface CommandContext {
  /** The environment, completed by the `.env` file of the working directory. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted with a `CodedError` `interrupted` by the first Ctrl-C. */
  readonly signal: AbortSignal;
  readonly out: Output;
  readonly parts: Parts;
}

/** A command as data: what help shows, and a short handler. */
export interface Command<Options extends OptionTable = OptionTable> {
  /** One or two words: `up`, `model list`. */
  readonly name: string;
  readonly summary: string;
  readonly positionals?: { readonly name: string; readonly help: string };
  readonly options: Options;
  readonly examples?: readonly string[];
  /** Further tables of its help. */
  readonly notes?: readonly { readonly title: string; readonly rows: readonly (readonly [string, string])[] }[];
  /** Resolves to the exit code, where it is not 0. */
  run(values: ValuesOf<Options>, positionals: readonly string[], context: CommandContext): Promise<number | void>;
}

/** Ties the handler's types to the option table; what it returns has forgotten them and fits in one list. */
export function command<const Options extends OptionTable>(definition: Command<Options>): Command {
  return definition;
}

/** Options that each command has. */
export const COMMON_OPTIONS = {
  json: { type: "boolean", help: "print one JSON object per line, for programs" },
  help: { type: "boolean", help: "show this help" },
} as const satisfies OptionTable;

export interface ParsedArguments {
  readonly values: Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;
  readonly positionals: readonly string[];
}

/** Reads the arguments behind the command's name. Errors: `usage`, with the option at fault in the message. */
export function parseArguments(definition: Command, args: readonly string[]): ParsedArguments {
  const table: OptionTable = { ...definition.options, ...COMMON_OPTIONS };
  const { values, positionals } = parseStrictly(table, args);
  if (positionals.length > 0 && definition.positionals === undefined) {
    throw new CodedError("usage", `\`${definition.name}\` takes no argument, got "${positionals[0]}"`);
  }
  const read = Object.entries(table).map(([name, spec]) => [name, readValue(name, spec, values[name])] as const);
  return { values: Object.fromEntries(read), positionals };
}

function parseStrictly(table: OptionTable, args: readonly string[]) {
  const options = Object.fromEntries(
    Object.entries(table).map(([name, spec]) => [
      name,
      { type: spec.type === "boolean" ? ("boolean" as const) : ("string" as const), multiple: spec.type === "list" },
    ]),
  );
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    throw new CodedError("usage", usageMessage((error as Error).message, Object.keys(table)), { cause: error });
  }
}

/** Node's first sentence, with better words for the two mistakes that people make; the rest advises about `--`. */
function usageMessage(said: string, names: readonly string[]): string {
  const [, unknown] = /^Unknown option '(-[^']*)'/.exec(said) ?? [];
  if (unknown !== undefined) {
    const meant = closest(unknown.replace(/^-+/, ""), names);
    return `there is no option ${unknown}; ${meant === undefined ? "--help lists them" : `did you mean --${meant}?`}`;
  }
  const [, incomplete] =
    /^Option '(?:-\w, )?(--[\w-]+)(?: <value>)?' argument (?:missing|is ambiguous)/.exec(said) ?? [];
  if (incomplete !== undefined) return `${incomplete} needs a value`;
  const [first = "the arguments cannot be read"] = said.split(/\.\s|\n/);
  return first.replace(/\.$/, "");
}

type Given = string | boolean | readonly (string | boolean)[] | undefined;

function readValue(name: string, spec: OptionSpec, given: Given) {
  if (spec.type === "boolean") return given === true;
  if (spec.type === "list") return Array.isArray(given) ? given.map(String) : [];
  if (given === undefined) return spec.default;
  if (spec.type === "string") {
    if (given === "") throw new CodedError("usage", `--${name} needs a value`);
    return String(given);
  }
  const number = typeof given === "string" && /^\d{1,15}$/.test(given) ? Number(given) : NaN;
  if (!(number >= spec.min && number <= spec.max)) {
    throw new CodedError(
      "usage",
      `--${name} is a whole number from ${spec.min} to ${spec.max}, got "${String(given)}"`,
    );
  }
  return number;
}
