import { type Command, COMMON_OPTIONS, type OptionSpec } from "./command.ts";
import { EXIT_CODES_HELP } from "./exit-codes.ts";

/** The page of `pinference --help`. */
export function helpForAll(commands: readonly Command[]): string {
  return lines(
    "Pin a model, get a URL: OpenAI-compatible inference at a content-addressed address.",
    "",
    "Usage: pinference COMMAND [OPTIONS]",
    "",
    "Commands:",
    ...columns(commands.map(({ name, summary }) => [name, summary])),
    "",
    "Options:",
    ...columns([
      ["--help", "show this help; `pinference COMMAND --help` shows a command's own"],
      ["--version", "show the version"],
    ]),
    "",
    "Environment, also read from a .env file in the working directory:",
    ...columns([
      ["PINFERENCE_DATA_DIR", "where models, keys and the local node's files are kept"],
      ["ALEPH_PRIVATE_KEY", "the key that signs, instead of a throwaway one"],
      ["ALEPH_OWNER_ADDRESS", "who owns and pays, where the key only has the right to publish in its name"],
      ["ALEPH_API_SERVER", "API node of the network"],
      ["PINFERENCE_CATALOGUE", "a directory with a models.json of your own"],
      ["PINFERENCE_API_KEY", "what `chat` shows to a model that asks for a key"],
      ["HF_TOKEN", "an account of the Hugging Face hub, for models that ask for one"],
      ["HF_ENDPOINT", "a mirror of the hub"],
      ["PINFERENCE_DEBUG", "1 shows stack traces"],
      ["NO_COLOR", "no colours"],
    ]),
    "",
    "Exit codes:",
    ...columns(EXIT_CODES_HELP),
  );
}

/** The page of `pinference COMMAND --help`. */
export function helpFor(command: Command): string {
  const { positionals, examples = [], notes = [] } = command;
  const argument = positionals === undefined ? "" : ` [${positionals.name}…]`;
  return lines(
    `${command.summary}.`,
    "",
    `Usage: pinference ${command.name}${argument} [OPTIONS]`,
    ...section("Arguments:", positionals === undefined ? [] : columns([[positionals.name, positionals.help]])),
    ...section("Options:", columns(Object.entries({ ...command.options, ...COMMON_OPTIONS }).map(optionRow))),
    ...notes.flatMap(({ title, rows }) => section(title, columns(rows))),
    ...section(
      "Examples:",
      examples.map((example) => `  ${example}`),
    ),
  );
}

function optionRow([name, spec]: readonly [string, OptionSpec]): readonly [string, string] {
  if (spec.type === "boolean") return [`--${name}`, spec.help];
  const standard = spec.type === "list" || spec.default === undefined ? "" : ` (default ${spec.default})`;
  return [`--${name} ${spec.value}`, `${spec.help}${standard}`];
}

function section(title: string, body: readonly string[]): readonly string[] {
  return body.length === 0 ? [] : ["", title, ...body];
}

function columns(rows: readonly (readonly [string, string])[]): readonly string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}

function lines(...all: readonly string[]): string {
  return `${all.join("\n")}\n`;
}
