/** Tables of docs/runbook.md, from the definitions of errors. Pure. */
import { adviceFor } from "../deploy/network/advice.ts";
import { REJECTION_CODES, rejectionName } from "../deploy/messages/rejections.ts";
import { EXIT_CODES_HELP, exitCodeOf } from "../deploy/commands/exit-codes.ts";
import { CodedError, type OperatorCode } from "../src/domain/errors.ts";

/** What each says of the world. What to do stands in the message itself, which knows the file, the option, the sum. */
const MEANINGS: Readonly<Record<OperatorCode, string>> = {
  message_invalid: "a message breaks the network's schema before it was sent",
  message_rejected: "the network took a message and then rejected it, for one of the reasons below",
  network_unreachable: "no answer from the API node, after several tries",
  network_refused: "the API node answered, and its answer was no, or none that can be read",
  balance_insufficient: "the owner's credits do not cover a day of everything that would run",
  model_file_missing: "there is no model file at this place",
  model_file_invalid: "the file is no GGUF, is damaged, or is not the one that the catalogue names",
  model_load_failed: "the model cannot be loaded as it is set up",
  catalogue_unknown: "the catalogue has no such model",
  download_failed: "the hub or a registry did not give the file, after several tries",
  hash_mismatch: "bytes have another hash than they should have: nothing of them was used",
  image_not_squashfs: "a file is no squashfs image",
  image_invalid: "an image is damaged",
  image_plan_invalid: "an image cannot be made of these files",
  config_invalid: "a setting, the catalogue or the lockfile cannot be used as it is",
  data_directory: "the data directory, or a file in it, cannot be read or written",
  disk_full: "there is no space left",
  port_in_use: "another process listens on the port",
  key_invalid: "the key is none, or other users of this machine may read its file",
  already_running: "another pinference holds the data directory",
  program_failed: "a program did not start, ended, or did not answer well",
  not_supported: "this cannot be done here, or not yet",
  usage: "the command line cannot be read",
};

/** Codes of commands: what `error` events of `--json` carry, and with what the process ends. */
export function errorTable(): string {
  const rows = Object.entries(MEANINGS).map(([code, meaning]) => {
    const error = new CodedError(code as OperatorCode, "");
    return `| \`${code}\` | ${meaning} | ${exitCodeOf(error)} |`;
  });
  return ["| code | means | exit code |", "| - | - | - |", ...rows, ""].join("\n");
}

export function exitCodeTable(): string {
  const rows = EXIT_CODES_HELP.map(([code, meaning]) => `| ${code} | ${meaning} |`);
  return ["| exit code | means |", "| - | - |", ...rows, ""].join("\n");
}

/** Why the network rejects messages, and what to do then. */
export function rejectionTable(): string {
  const rows = REJECTION_CODES.filter((code) => !isOfPosts(code)).map((code) => {
    const advice = adviceFor(code, "the owner's address");
    return `| ${code} | \`${rejectionName(code)}\` | ${advice} |`;
  });
  return ["| number | name | what to do |", "| - | - | - |", ...rows, ""].join("\n");
}

/** A kind of message that this product never sends. */
function isOfPosts(code: number): boolean {
  return code >= 100 && code < 200;
}
